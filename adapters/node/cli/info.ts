/**
 * `pagestream info`: which daemon listens at a control socket.
 *
 * @module
 */
import { ask, type ControlFlags, printAnswer } from "./control.ts";
import { EXIT } from "./failure.ts";
import { formatDuration } from "./format.ts";

interface Info {
  readonly version: string;
  readonly pid: number;
  readonly uptime_seconds: number;
  readonly started_at: string;
  readonly database_count: number;
}

/** Prints it. */
export async function runInfo(flags: ControlFlags): Promise<number> {
  const info = await ask<Info>({ command: "info", route: "/info" }, flags);
  if (flags.json === true) {
    printAnswer(info, flags);
    return EXIT.ok;
  }
  const uptime = formatDuration(info.uptime_seconds * 1000);
  process.stdout.write(
    `Pagestream ${info.version}\n` +
      `  PID:        ${info.pid}\n` +
      `  Uptime:     ${uptime}\n` +
      `  Started at: ${info.started_at.replace(/\.\d+Z$/, "Z")}\n` +
      `  Databases:  ${info.database_count}\n`,
  );
  return EXIT.ok;
}
