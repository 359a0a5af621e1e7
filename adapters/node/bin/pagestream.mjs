#!/usr/bin/env node
/**
 * The `pagestream` command. Runs on any Node since 20: one that is too old hands over to the Node that this package
 * brings with it, with the same arguments, terminal, signals and exit code.
 *
 * @module
 */

const [major, minor] = process.versions.node.split(".").map(Number);

/** Set for the Node that takes over, so that one which is too old as well cannot start the next. */
const HANDED_OVER = "PAGESTREAM_HANDED_OVER";
const handedOver = process.env[HANDED_OVER] !== undefined;
delete process.env[HANDED_OVER];

if (major > 22 || (major === 22 && minor >= 13)) {
  const compiled = new URL("../dist/command/main.js", import.meta.url).href;
  try {
    const { main } = await import(compiled);
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    if (error?.code !== "ERR_MODULE_NOT_FOUND" || error.url !== compiled) throw error;
    console.error("Cannot run pagestream: it is not built yet. Run: npm run build");
    process.exitCode = 1;
  }
} else {
  await handOver();
}

async function handOver() {
  const [{ spawn }, { existsSync }, { createRequire }, { constants }, { dirname, join }] =
    await Promise.all([
      import("node:child_process"),
      import("node:fs"),
      import("node:module"),
      import("node:os"),
      import("node:path"),
    ]);

  let node;
  try {
    const manifest = createRequire(import.meta.url).resolve("node/package.json");
    node = join(dirname(manifest), "bin", process.platform === "win32" ? "node.exe" : "node");
  } catch {
    node = undefined;
  }
  if (handedOver || node === undefined || !existsSync(node)) {
    console.error(
      `Cannot run pagestream on Node ${process.versions.node}: it needs 22.13 or newer. ` +
        "Install a newer Node, or the npm package `node` next to this one with its install script allowed",
    );
    process.exit(1);
  }

  const child = spawn(node, [...process.execArgv, process.argv[1], ...process.argv.slice(2)], {
    env: { ...process.env, [HANDED_OVER]: "1" },
    stdio: "inherit",
  });
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR2", "SIGBREAK"]) {
    if (!(signal in constants.signals)) continue;
    process.on(signal, () => {
      // A terminal sends its interrupt to the child as well; passing it on would make two of it.
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    console.error(`Cannot run pagestream: ${node} did not start: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    // Dies of the same signal, so that the caller sees what happened to the child.
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}
