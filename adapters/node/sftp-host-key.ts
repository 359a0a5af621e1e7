/**
 * Which keys a server may have: lines of `authorized_keys` or of `known_hosts`.
 *
 * @module
 */
import { createHash, createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import { InvalidArgumentError, StoreError } from "pagestream";

/** A key of a server, as both sides of a comparison have it. */
interface HostKey {
  /** `ssh-ed25519` and the like. */
  readonly type: string;
  /** The key in base64. */
  readonly base64: string;
}

/** The keys that a server may have. */
export interface HostKeys {
  /** Algorithms in the order in which they are to be asked for: those of known keys first. */
  readonly algorithms: readonly string[];
  /** What is wrong with the key that a server has shown; `undefined` where it is known. */
  check(key: Buffer): StoreError | undefined;
}

/** Whose keys. */
export interface HostName {
  readonly host: string;
  readonly port: number;
}

/** The value that accepts every key. */
const ACCEPT_ANY = "accept-any";

/** By type of key; what ssh2 offers by itself, less SHA-1. */
const ALGORITHMS: Readonly<Record<string, readonly string[]>> = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
  "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
  "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"],
};

/** Reads the option `hostKey`: lines, or the path of a file that holds them. */
export async function readHostKeys(
  option: string | readonly string[] | undefined,
  server: HostName,
): Promise<HostKeys> {
  if (option === ACCEPT_ANY) return { algorithms: algorithmsFor([]), check: () => undefined };
  const { known, revoked } = parse(await linesOf(option), server);
  return {
    algorithms: algorithmsFor(known),
    check: (key) => {
      const base64 = key.toString("base64");
      const isShown = (each: HostKey): boolean => each.base64 === base64;
      if (revoked.some(isShown)) return refusal(server, key, "has a key that was revoked");
      if (known.some(isShown)) return undefined;
      if (option === undefined) return refusal(server, key, "has a key that nothing vouches for");
      if (known.length === 0) return refusal(server, key, "is not named by hostKey");
      return refusal(
        server,
        key,
        "has another key than hostKey tells: it was set up anew, or somebody else answers",
      );
    },
  };
}

async function linesOf(option: string | readonly string[] | undefined): Promise<string[]> {
  if (option === undefined) return [];
  if (typeof option !== "string") return [...option];
  // A line has a space between its type and its key.
  if (/\s/.test(option.trim()) && /(?:^|\s)[\w@.-]+\s+AAAA/.test(option)) return option.split("\n");
  try {
    return (await readFile(option, "utf8")).split("\n");
  } catch (error) {
    throw new InvalidArgumentError({
      operation: "read",
      object: `the host keys in ${JSON.stringify(option.slice(0, 200))}`,
      what: "it is neither lines of keys nor the path of a file that can be read",
      next: `Give a line of authorized_keys or known_hosts, a path, or "${ACCEPT_ANY}"`,
      cause: error,
    });
  }
}

/** The keys of one server: lines without a host speak of it in any case. */
function parse(
  lines: readonly string[],
  server: HostName,
): { known: HostKey[]; revoked: HostKey[] } {
  const known: HostKey[] = [];
  const revoked: HostKey[] = [];
  for (const line of lines) {
    const words = line.trim().split(/\s+/);
    // A certificate's authority vouches for certificates, which are not read here.
    if (words[0] === "" || words[0]?.startsWith("#") || words[0] === "@cert-authority") continue;
    const isRevoked = words[0] === "@revoked";
    if (isRevoked) words.shift();
    const named = !isType(words[0]);
    if (named && !matchesHost(words.shift() ?? "", server)) continue;
    const [type, base64] = words;
    if (!isType(type) || base64 === undefined) continue;
    // Written anew, so that padding and line breaks make no difference.
    const key = { type: type ?? "", base64: Buffer.from(base64, "base64").toString("base64") };
    (isRevoked ? revoked : known).push(key);
  }
  return { known, revoked };
}

function isType(word: string | undefined): boolean {
  return /^(?:ssh|ecdsa|sk)-[\w@.-]+$/.test(word ?? "");
}

/** Whether the first word of a line of `known_hosts` speaks of a server. */
function matchesHost(word: string, { host, port }: HostName): boolean {
  const name = port === 22 ? host : `[${host}]:${port}`;
  const [, , salt, hash] = word.startsWith("|1|") ? word.split("|") : [];
  if (salt !== undefined && hash !== undefined) {
    return createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === hash;
  }
  const patterns = word.split(",");
  const matches = (pattern: string): boolean => glob(pattern).test(name);
  if (patterns.some((each) => each.startsWith("!") && matches(each.slice(1)))) return false;
  return patterns.some((each) => !each.startsWith("!") && matches(each));
}

function glob(pattern: string): RegExp {
  const escaped = pattern.replace(/[\\^$.|+()[\]{}]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`, "i");
}

/** Known types first, as a server may have keys of several; the others only to tell what it has instead. */
function algorithmsFor(known: readonly HostKey[]): string[] {
  const first = known.flatMap(({ type }) => ALGORITHMS[type] ?? []);
  return [...new Set([...first, ...Object.values(ALGORITHMS).flat()])];
}

/** Tells the key in the two forms in which it can be compared and configured. */
function refusal({ host, port }: HostName, key: Buffer, what: string): StoreError {
  const type = key.subarray(4, 4 + key.readUInt32BE(0)).toString("latin1");
  const fingerprint = createHash("sha256").update(key).digest("base64").replace(/=+$/, "");
  return new StoreError({
    operation: "connect to",
    object: `${host}:${port}`,
    what: `the server ${what}`,
    next:
      `Compare SHA256:${fingerprint} with what its owner tells; if it is the same, set hostKey to ` +
      `"${type} ${key.toString("base64")}"`,
  });
}
