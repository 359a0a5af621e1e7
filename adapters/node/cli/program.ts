/**
 * The commands, their flags and their help. What a command does is loaded when it is called.
 *
 * @module
 */
import { Argument, Command, Option } from "commander";
import { addConfigCommands } from "./config-program.ts";
import { withConfigFlags } from "./configuration.ts";
import { addControlCommands, addReplicateCommand } from "./daemon-program.ts";
import { addDatabaseCommands } from "./database-program.ts";
import { setEncryption } from "./encryption.ts";
import { addQueryCommand } from "./query-program.ts";
import type { CompactFlags } from "./compact.ts";
import type { DemoFlags } from "./demo.ts";
import type { ListFlags } from "./ltx-list.ts";
import type { ShowFlags } from "./ltx-show.ts";
import type { VerifyFlags } from "./ltx-verify.ts";
import type { PointsFlags } from "./points.ts";
import type { FollowFlags } from "./follow.ts";
import type { RestoreFlags } from "./restore.ts";
import type { RetainFlags } from "./retain.ts";
import type { ServeFlags } from "./serve.ts";
import type { SnapshotFlags } from "./snapshot.ts";
import type { VerifyReplicaFlags } from "./verify.ts";

const REPLICA_HELP = "the replica: a directory, or a URL of any store";
const TARGET_HELP = "a replica, by directory or URL; or a database of the configuration";

const EXIT_CODES = `
Exit codes:
  0 done, 1 failed, 2 wrong usage, 3 wrong configuration, 4 no backup, 5 target exists,
  6 damaged, 7 another writer, 8 last upload not finished, 9 replica not looked at; with
  --compat-exit 0 or 1. Of verify: 0 sound, 1 fault found, all others: nothing is known

Long flags take one dash or two. A REPLICA is a directory, or a URL as Litestream writes it:
  file:///path  s3://BUCKET/path?endpoint=HOST&region=REGION  gs://BUCKET/path
  abs://ACCOUNT@CONTAINER/path  sftp://USER@HOST/path  nats://HOST:4222/BUCKET
  webdav://HOST/path  webdavs://HOST/path  oss://BUCKET/path  https://HOST/path (reading)
Keys come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or their
LITESTREAM_ twins, GOOGLE_APPLICATION_CREDENTIALS, LITESTREAM_AZURE_ACCOUNT_KEY or
LITESTREAM_AZURE_SAS_TOKEN, OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET,
PAGESTREAM_HTTP_TOKEN or PAGESTREAM_HTTP_TOKEN_FILE.
`;

/** Builds the parser. `done` gets the exit code of the command that ran. */
export function createProgram(done: (exitCode: number) => void): Command {
  const program = new Command("pagestream")
    .description("Replicate SQLite databases as Litestream does, and restore them")
    .usage("<command> [flags]")
    .addOption(new Option("--compat-exit", "exit with 0 or 1 only, as Litestream does").hideHelp())
    .option("--encryption-key <id=path>", "a key of an encrypted replica; may be repeated", collect)
    .option("--encryption-context <text>", "what its writer gave as context")
    .hook("preAction", (command) => setEncryption(command.opts()))
    .helpOption("-h, --help", "show this help")
    .helpCommand("help [command]", "show the help of a command")
    .addHelpText("after", EXIT_CODES);

  program
    .command("demo")
    .description("write a database, replicate it, lose it, restore it, and prove it is the same")
    .option("--dir <path>", "work in this empty directory; default: a new temporary one")
    .option("--keep", "keep the databases too, not only the replica")
    .option("--json", "print one JSON object of the results")
    .action(async (flags: DemoFlags) => {
      const { runDemo } = await import("./demo.ts");
      done(await runDemo(flags));
    });

  withConfigFlags(program.command("restore"))
    .description("restore a database from a replica")
    .argument("[replica]", TARGET_HELP)
    .option(
      "-o, --output <path>",
      "where the database goes; default with a configuration: where it was",
    )
    .option("--txid <hex16>", "restore this transaction: 16 hex digits; default: the newest")
    .option("--timestamp <time>", "restore the state of this time: RFC 3339, or 5 minutes ago")
    .addOption(
      withChoices(
        new Option("--integrity-check <mode>", "let SQLite check it first").default("none"),
        ["none", "quick", "full"],
      ),
    )
    .option("--if-db-not-exists", "exit with 0 if the database exists already")
    .option("--if-replica-exists", "exit with 0 if there is no backup")
    .option("--force", "replace an existing database once the new one is complete")
    .option(
      "-f, --follow",
      "keep the database up to date until a signal, as the command follow does",
    )
    .option("--follow-interval <duration>", "with -f: pause between two questions; default: 1s")
    .option("--dry-run", "only print which files would be read")
    .option("--explain", "as --dry-run, with the reason for each file")
    .option("--json", "print a JSON summary or plan")
    .option("--progress", "show progress even where there is no terminal")
    .option("--no-progress", "show no progress")
    .addOption(
      new Option("--parallelism <n>", "accepted as in Litestream, without effect").hideHelp(),
    )
    .addHelpText(
      "after",
      `
Examples:
  pagestream restore -o app.db /backup/app
  pagestream restore -o app.db -timestamp 2026-11-20T12:00:00Z file:///backup/app
  pagestream restore -o app.db s3://backups/app?region=eu-central-1
  pagestream restore -o app.db -txid 000000000000002a -integrity-check quick /backup/app
  pagestream restore -config /etc/litestream.yml /data/app.db
`,
    )
    .action(async (replica: string | undefined, flags: RestoreFlags) => {
      const { runRestore } = await import("./restore.ts");
      done(await runRestore(replica, flags));
    });

  addQueryCommand(program, done);

  withConfigFlags(program.command("follow"))
    .description("restore a database from a replica and keep it up to date, for readers")
    .argument("[replica]", TARGET_HELP)
    .option("-o, --output <path>", "the copy; default with a configuration: where it was")
    .option("--follow-interval <duration>", "pause between two questions; default: 1s")
    .option("--pointer", "read the writer's pointer object to skip ahead")
    .option("--json", "print one JSON object a line for each event")
    .addHelpText(
      "after",
      `
Its position is kept in <path>-txid, as Litestream does. SIGINT or SIGTERM ends it with exit code 0.

Examples:
  pagestream follow -o copy.db /backup/app
  pagestream follow -o copy.db -follow-interval 200ms s3://backups/app?region=eu-central-1
`,
    )
    .action(async (replica: string | undefined, flags: FollowFlags) => {
      const { runFollow } = await import("./follow.ts");
      done(await runFollow(replica, flags));
    });

  withConfigFlags(program.command("snapshot"))
    .description("upload a database as a snapshot, while it is written or not")
    .argument("[database]", "the database file")
    .argument("[replica]", REPLICA_HELP)
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      `
Without a replica it goes where the configuration says, through the daemon where its control socket answers. An empty
replica becomes one of this database. A replica of an earlier state of it gets what has changed too; one
of a later state is left as it is.

Example:
  pagestream snapshot app.db /backup/app
`,
    )
    .action(
      async (database: string | undefined, replica: string | undefined, flags: SnapshotFlags) => {
        const { runSnapshot } = await import("./snapshot.ts");
        done(await runSnapshot({ database, replica }, flags));
      },
    );

  addReplicateCommand(program, done);
  addKeepCommands(program, done);
  addLookCommands(program, done);
  addLtxCommands(program, done);
  addControlCommands(program, done);

  program
    .command("completion")
    .description("print what makes a shell complete this command")
    .addArgument(withChoices(new Argument("[shell]", "the shell"), ["bash", "zsh", "fish"]))
    .addHelpText(
      "after",
      `
Examples:
  source <(pagestream completion bash)
  pagestream completion fish > ~/.config/fish/completions/pagestream.fish
`,
    )
    .action(async (shell: string | undefined) => {
      const { runCompletion } = await import("./completion.ts");
      done(runCompletion(shell, program));
    });

  addConfigCommands(program, done);
  addDatabaseCommands(program, done);
  program
    .command("version")
    .description("print the version")
    .option("--verbose", "print the versions of the runtime too")
    .action(async (flags: { readonly verbose?: boolean }) => {
      const { runVersion } = await import("./version.ts");
      done(await runVersion(flags));
    });
  return program;
}

/** What looks at a replica and changes nothing. */
function addLookCommands(program: Command, done: (exitCode: number) => void): void {
  withConfigFlags(program.command("verify"))
    .description("prove that a replica can be restored")
    .argument("[replica]", TARGET_HELP)
    .option("--restore", "restore it to a temporary file too, and let SQLite check that")
    .option(
      "--probe <sql>",
      "a query that must answer true of it, such as SELECT count(*) > 0 FROM t; may be repeated",
      collect,
    )
    .option("--no-foreign-keys", "pass over references to rows that are not there")
    .option("--temp-dir <path>", "where there is room for the database")
    .option("--json", "print a JSON object")
    .addHelpText(
      "after",
      `
Every file is read to its end. Exit codes: 0 sound, 1 fault found, 2 wrong usage, 4 no backup,
9 could not look.

Example:
  pagestream verify --restore --probe "SELECT max(at) > unixepoch() - 3600 FROM event" /backup/app
`,
    )
    .action(async (replica: string | undefined, flags: VerifyReplicaFlags) => {
      const { runVerifyReplica } = await import("./verify.ts");
      done(await runVerifyReplica(replica, flags));
    });

  withConfigFlags(program.command("points"))
    .description("list the states that can be restored, newest first")
    .argument("[replica]", TARGET_HELP)
    .option("--limit <n>", "list so many")
    .option("--json", "print a JSON array")
    .action(async (replica: string | undefined, flags: PointsFlags) => {
      const { runPoints } = await import("./points.ts");
      done(await runPoints(replica, flags));
    });

  withConfigFlags(program.command("serve"))
    .description("let others read a replica over HTTP, without the credentials of its store")
    .argument("[replica]", TARGET_HELP)
    .option("--addr <host:port>", "where to listen", "127.0.0.1:8081")
    .option("--token-file <path>", "what readers must bring; default: $PAGESTREAM_SERVE_TOKEN")
    .option("--cors-origin <origin>", "a web origin that may read, or *; may be repeated", collect)
    .option("--query", "answer SQL that only reads, too; needs the package @sqlite.org/sqlite-wasm")
    .option("--log-level <level>", "trace, debug, info, warn or error")
    .addHelpText(
      "after",
      `
Without a token it listens on this machine only. An encrypted replica is served decrypted where its key is given, else as
it is. SIGINT or SIGTERM ends it with exit code 0.

Examples:
  pagestream serve s3://backups/app?region=eu-central-1
  pagestream restore -o copy.db http://127.0.0.1:8081
  pagestream serve -addr :8081 -token-file /etc/pagestream/token /backup/app
`,
    )
    .action(async (replica: string | undefined, flags: ServeFlags) => {
      const { runServe } = await import("./serve.ts");
      done(await runServe(replica, flags));
    });
}

/** What a running replication does by itself. */
function addKeepCommands(program: Command, done: (exitCode: number) => void): void {
  program
    .command("compact")
    .description("merge the files of each level into one of the next, as a writer does by itself")
    .argument("[replica]", REPLICA_HELP)
    .option("--level <level>", "compact only into this level: 1 to 8; default: 1, 2 and 3")
    .option("--if-due", "leave a level alone that has a file of its current interval")
    .option("--json", "print a JSON array")
    .action(async (replica: string | undefined, flags: CompactFlags) => {
      const { runCompact } = await import("./compact.ts");
      done(await runCompact(replica, flags));
    });

  program
    .command("retain")
    .description("remove the files that need not be kept, as a writer does by itself")
    .argument("[replica]", REPLICA_HELP)
    .option("--dry-run", "only print which files would go, and why")
    .option("--snapshot-retention <time>", "how long snapshots are kept; default: 24h")
    .option("--l0-retention <time>", "how long level 0 is kept; default: 5m; 0s: for ever")
    .option("--release-adopted", "let go what an adopted earlier state was put in place of")
    .option("--json", "print a JSON object")
    .action(async (replica: string | undefined, flags: RetainFlags) => {
      const { runRetain } = await import("./retain.ts");
      done(await runRetain(replica, flags));
    });
}

/** What help and completion show; what is given is checked by the command, in its own words. */
function withChoices<Named extends Option | Argument>(named: Named, choices: string[]): Named {
  named.argChoices = choices;
  return named;
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function addLtxCommands(program: Command, done: (exitCode: number) => void): void {
  const ltx = program
    .command("ltx")
    .description("look at the LTX files of a replica")
    .usage("[list] [flags] REPLICA")
    .helpCommand(false);

  listFlags(ltx.command("list", { isDefault: true }))
    .description("list the LTX files of a level (default command)")
    .action(async (replica: string | undefined, flags: ListFlags) => {
      const { runList } = await import("./ltx-list.ts");
      done(await runList(replica, flags));
    });

  listFlags(program.command("wal", { hidden: true }))
    .description("what ltx was called in older releases of Litestream")
    .action(async (replica: string | undefined, flags: ListFlags) => {
      process.stderr.write("Warning: 'wal' command is deprecated, please use 'ltx' instead\n");
      const { runList } = await import("./ltx-list.ts");
      done(await runList(replica, flags));
    });

  ltx
    .command("show")
    .description("show header, trailer and pages of one LTX file")
    .argument("[file]", "an .ltx file, as a path or URL")
    .option("--pages", "print the page index")
    .option("--json", "print a JSON object")
    .action(async (file: string | undefined, flags: ShowFlags) => {
      const { runShow } = await import("./ltx-show.ts");
      done(await runShow(file, flags));
    });

  ltx
    .command("verify")
    .description("read LTX files to their end and check all there is to check")
    .argument("[targets...]", "replicas and .ltx files, as paths or URLs")
    .option("--json", "print a JSON object")
    .action(async (targets: string[], flags: VerifyFlags) => {
      const { runVerify } = await import("./ltx-verify.ts");
      done(await runVerify(targets, flags));
    });
}

function listFlags(command: Command): Command {
  const levels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "all"];
  const level = new Option("--level <level>", "level to list").default("0");
  return withConfigFlags(command)
    .argument("[replica]", TARGET_HELP)
    .addOption(withChoices(level, levels))
    .option("--json", "print a JSON array");
}
