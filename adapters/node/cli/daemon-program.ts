/**
 * The daemon and the commands that ask it, their flags and their help.
 *
 * @module
 */
import type { Command } from "commander";
import type { ControlFlags } from "./control.ts";
import type { RegisterFlags } from "./register.ts";
import type { ReplicateFlags } from "./replicate.ts";
import type { SyncFlags } from "./sync.ts";
import type { UnregisterFlags } from "./unregister.ts";

const SOCKET = "/var/run/litestream.sock";
const NEEDS_SOCKET = `
The daemon listens when its configuration says so:
  socket:
    enabled: true
`;

/** Adds the daemon. */
export function addReplicateCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command("replicate")
    .description("replicate databases for as long as it runs, or once")
    .usage("[flags] | [flags] DB_PATH REPLICA_URL")
    .argument("[names...]", "a database and where it goes, instead of a configuration")
    .option(
      "--config <path>",
      "the configuration; default: $LITESTREAM_CONFIG, or /etc/litestream.yml",
    )
    .option("--no-expand-env", "leave $NAME in the configuration as it is")
    .option("--exec <command>", "run this once databases are replicated, and end with it")
    .option("--once", "upload what each replica lacks, and end")
    .option("--force-snapshot", "with -once: upload each database as a snapshot too")
    .option("--enforce-retention", "with -once: remove what need not be kept")
    .option("--restore-if-db-not-exists", "restore a database that is not there first")
    .option("--log-level <level>", "trace, debug, info, warn or error")
    .addHelpText(
      "after",
      `
Flags come before the arguments. SIGINT or SIGTERM uploads what is left and ends; a second one gives that up. The
exit code is that of the child of -exec, or 8 where something is left that could not be uploaded.

Examples:
  pagestream replicate -config litestream.yml
  pagestream replicate app.db s3://backups/app?region=eu-central-1
  pagestream replicate -exec "node server.js" app.db /backup/app
  pagestream replicate -once -force-snapshot app.db /backup/app
`,
    )
    .action(async (names: readonly string[], flags: ReplicateFlags) => {
      const { runReplicate } = await import("./replicate.ts");
      done(await runReplicate(names, flags));
    });
}

/** Adds the commands that ask a running one. */
export function addControlCommands(program: Command, done: (exitCode: number) => void): void {
  control(program.command("list"), "10")
    .description("list the databases of a running daemon")
    .action(async (flags: ControlFlags) => {
      const { runList } = await import("./list.ts");
      done(await runList(flags));
    });

  control(program.command("info"), "10")
    .description("show which daemon listens at the control socket")
    .action(async (flags: ControlFlags) => {
      const { runInfo } = await import("./info.ts");
      done(await runInfo(flags));
    });

  control(program.command("start"), "30")
    .description("let a running daemon replicate a database again, and try now")
    .argument("[database]", "the database file")
    .action(async (database: string | undefined, flags: ControlFlags) => {
      const { runStart } = await import("./start.ts");
      done(await runStart(database, flags));
    });

  control(program.command("stop"), "30")
    .description("let a running daemon upload what is left of a database, and let go of it")
    .argument("[database]", "the database file")
    .action(async (database: string | undefined, flags: ControlFlags) => {
      const { runStop } = await import("./stop.ts");
      done(await runStop(database, flags));
    });

  control(program.command("sync"), "30")
    .description("let a running daemon take what is committed, now")
    .argument("[database]", "the database file")
    .option("--wait", "wait until the replica has it")
    .action(async (database: string | undefined, flags: SyncFlags) => {
      const { runSync } = await import("./sync.ts");
      done(await runSync(database, flags));
    });

  control(program.command("register"), "30")
    .description("let a running daemon replicate a further database")
    .argument("[database]", "the database file")
    .option("--replica <url>", "where it goes (required)")
    .action(async (database: string | undefined, flags: RegisterFlags) => {
      const { runRegister } = await import("./register.ts");
      done(await runRegister(database, flags));
    });

  control(program.command("unregister"), "30")
    .description("let a running daemon upload what is left of a database, and forget it")
    .argument("[database]", "the database file")
    .option("--dry-run", "only print what would be asked for")
    .action(async (database: string | undefined, flags: UnregisterFlags) => {
      const { runUnregister } = await import("./unregister.ts");
      done(await runUnregister(database, flags));
    });
}

function control(command: Command, timeout: string): Command {
  return command
    .option("--socket <path>", "the daemon's control socket", SOCKET)
    .option("--timeout <seconds>", "how long to wait for the answer", timeout)
    .option("--json", "print a JSON object")
    .addHelpText("after", NEEDS_SOCKET);
}
