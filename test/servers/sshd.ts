/**
 * OpenSSH with its own SFTP: a key lets in whoever runs the tests.
 *
 * @module
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { freePorts, type Scratch, type ServerAddress, type ServerKind, tool } from "./server.ts";

/** A server that can be started again where it was. */
export interface SshServer {
  readonly address: ServerAddress;
  /** Starts it; resolves when it answers. */
  start(): Promise<{ kill(): void }>;
}

/** `host`, `port`, `user`, `key` and `encryptedKey` (paths; passphrase `s3cret`), `hostKey` (a line), `root` (a directory). */
export async function sshServer(scratch: Scratch): Promise<SshServer> {
  const [port] = (await freePorts(1)) as [number];
  const path = (name: string): string => join(scratch.folder, name);
  // sshd as root wants it, whatever its configuration says.
  if (userInfo().uid === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const make = (name: string, ...flags: string[]): Promise<string> =>
    scratch.run("/usr/bin/ssh-keygen", ["-q", "-f", path(name), ...flags]);
  await Promise.all([
    make("host", "-t", "ed25519", "-N", ""),
    make("host-rsa", "-t", "rsa", "-b", "2048", "-N", ""),
    make("client", "-t", "ed25519", "-N", ""),
    make("client-encrypted", "-t", "ed25519", "-N", "s3cret"),
  ]);
  const allowed = ["client.pub", "client-encrypted.pub"].map((name) => readFileSync(path(name)));
  writeFileSync(path("authorized_keys"), allowed.join(""));
  chmodSync(path("authorized_keys"), 0o600);
  writeFileSync(
    path("sshd_config"),
    `Port ${port}
ListenAddress 127.0.0.1
HostKey ${path("host")}
HostKey ${path("host-rsa")}
PidFile ${path("sshd.pid")}
AuthorizedKeysFile ${path("authorized_keys")}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
MaxStartups 100
Subsystem sftp internal-sftp
`,
  );
  const line = (name: string): string => readFileSync(path(name), "utf8").trim();
  const address = {
    host: "127.0.0.1",
    port: String(port),
    user: userInfo().username,
    key: path("client"),
    encryptedKey: path("client-encrypted"),
    hostKey: line("host.pub"),
    rsaHostKey: line("host-rsa.pub"),
    root: scratch.make("files"),
  };
  return {
    address,
    async start() {
      const child = scratch.spawn(tool("sshd"), ["-D", "-e", "-f", path("sshd_config")]);
      await scratch.ready(() => greets(port));
      // Sessions outlive the server they came by.
      const kill = (pid: number): void => {
        const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
        process.kill(pid, "SIGKILL");
        for (const each of children.split(" ").filter(Boolean)) kill(Number(each));
      };
      return { kill: () => kill(child.pid as number) };
    },
  };
}

/** An address, see {@linkcode sshServer}. */
export const sshd: ServerKind = {
  name: "sshd",
  programs: [tool("sshd"), "/usr/bin/ssh-keygen"],
  install: "apt-get install -y --no-install-recommends openssh-server openssh-client",
  async start(scratch) {
    const server = await sshServer(scratch);
    await server.start();
    return server.address;
  },
};

/** Whether somebody at a port says that it is an SSH server. */
export function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once("data", (data) => end(String(data).startsWith("SSH-")));
    socket.once("error", () => end(false));
  });
}
