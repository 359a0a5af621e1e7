/**
 * Azurite: Azure Blob Storage in memory. It checks signatures and conditions; not the clock.
 *
 * @module
 */
import { type ServerKind, freePorts, tool } from "./server.ts";

/** The account of the emulator and its key, which everybody knows. */
const ACCOUNT = "devstoreaccount1";
const KEY =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/** `endpoint`, `accountName`, `accountKey`. Containers are the tests' to make. */
export const azurite: ServerKind = {
  name: "azurite",
  programs: [tool("azurite-blob")],
  install: "node scripts/tools.mjs azurite-blob",
  async start(scratch) {
    const [port] = await freePorts(1);
    const flags = "--inMemoryPersistence --silent --disableTelemetry --skipApiVersionCheck";
    scratch.spawn(
      process.execPath,
      [tool("azurite-blob"), "--blobHost", "127.0.0.1", "--blobPort", String(port)].concat(
        flags.split(" "),
      ),
    );
    const origin = `http://127.0.0.1:${port}`;
    await scratch.answers(origin, () => true);
    return { endpoint: `${origin}/${ACCOUNT}`, accountName: ACCOUNT, accountKey: KEY };
  },
};
