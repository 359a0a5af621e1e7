/**
 * `pagestream follow`, which is also `pagestream restore -f`.
 *
 * @module
 */
import { follow, type Follower, type FollowEvent } from "pagestream";
import { formatTxid } from "pagestream/ltx";
import { fileFollowTarget } from "../files.ts";
import type { ConfigFlags } from "./configuration.ts";
import { EXIT, usageError } from "./failure.ts";
import { formatTime, paint, plural, shellQuote } from "./format.ts";
import { openTarget, toPath } from "./location.ts";

/** Flags of `pagestream follow`. */
export interface FollowFlags extends ConfigFlags {
  readonly output?: string;
  readonly followInterval?: string;
  readonly pointer?: boolean;
  readonly json?: boolean;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Keeps a copy up to date until a signal ends it. */
export async function runFollow(text: string | undefined, flags: FollowFlags): Promise<number> {
  if (text === undefined) {
    throw usageError(
      "replica path or URL required",
      "pagestream follow -o /path/to/copy file:///path/to/replica",
    );
  }
  const intervalMs = toInterval(flags.followInterval ?? "1s");
  const replica = await openTarget(text, flags);
  const named = flags.output ?? replica.database?.path;
  if (named === undefined || named === "") {
    throw usageError(
      "-o is required: the file that is kept up to date",
      `pagestream follow -o /path/to/copy ${shellQuote(text)}`,
    );
  }
  const output = toPath(named);
  const ending = new AbortController();
  let signals = 0;
  const onSignal = (): void => {
    // The second one does not wait for what is under way: a crash harms nothing.
    if (signals++ > 0) process.exit(EXIT.failure);
    ending.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, onSignal);
  try {
    const follower = await follow(replica.store, fileFollowTarget(output), {
      intervalMs,
      pointer: flags.pointer,
      signal: ending.signal,
    });
    if (ending.signal.aborted) await follower.close();
    ending.signal.addEventListener("abort", () => void follower.close());
    if (flags.json !== true) printStart(follower, replica.text, output);
    for await (const event of follower.events) print(event, flags);
    await follower.close();
  } catch (error) {
    if (!ending.signal.aborted) throw error;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, onSignal);
    await replica.store.close?.();
  }
  return EXIT.ok;
}

/** Milliseconds of a duration as Go writes it: `1s`, `500ms`, `1m30s`. */
function toInterval(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  const intervalMs = parts.reduce(
    (sum, part) => sum + Number(part[1]) * (UNITS[part[2] ?? ""] ?? 0),
    0,
  );
  if (parts.map((part) => part[0]).join("") === text && intervalMs > 0) return intervalMs;
  throw usageError(
    `invalid value ${JSON.stringify(text)} for flag -follow-interval: a duration above 0`,
    "-follow-interval 1s",
  );
}

function printStart(follower: Follower, replica: string, output: string): void {
  const head = paint("bold", `Following ${replica}`, process.stdout);
  process.stdout.write(`${head} into ${output}, from ${formatTxid(follower.position)}\n`);
}

function print(event: FollowEvent, flags: FollowFlags): void {
  if (flags.json === true) {
    const { position, type, ...rest } = event;
    const line = { event: type, position: formatTxid(position), ...toJson(rest) };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    return;
  }
  if (event.type === "applied") {
    const { txid, files, pages, rebased, time } = event;
    const how = rebased ? "restored from" : "applied";
    const what = `${how} ${plural(files, "file")}, ${plural(pages, "page")}`;
    process.stdout.write(`${formatTxid(txid)}  ${formatTime(time)}  ${what}\n`);
  } else if (event.type === "stalled") {
    process.stderr.write(`Stalled: ${event.error.message}\n`);
  } else if (event.type === "recovered") {
    process.stderr.write("Recovered\n");
  }
}

/** Names and values as the other commands print them. */
function toJson(event: object): object {
  const { txid, time, error, ...rest } = event as {
    readonly txid?: bigint;
    readonly time?: Date;
    readonly error?: { readonly code: string; readonly message: string };
  };
  return {
    ...(txid === undefined ? {} : { txid: formatTxid(txid) }),
    ...rest,
    ...(time === undefined ? {} : { time: formatTime(time) }),
    ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
  };
}
