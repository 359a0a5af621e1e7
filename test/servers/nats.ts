/**
 * NATS with JetStream, over WebSocket and TCP: three servers, since ways to authenticate exclude each other.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { nkeys } from "@nats-io/nats-core";
import { freePorts, type Scratch, type ServerAddress, type ServerKind, tool } from "./server.ts";

type KeyPair = ReturnType<typeof nkeys.createUser>;

/** A server that can be started again where it was. */
export interface NatsProcess {
  readonly tcp: string;
  readonly ws: string;
  /** Starts it; resolves when it is healthy. */
  start(): Promise<{ kill(): void }>;
}

/** A server with its own folder of data; `authorization` is the rest of its configuration. */
export async function natsProcess(
  scratch: Scratch,
  name: string,
  authorization: string,
): Promise<NatsProcess> {
  const [tcp, ws, http] = await freePorts(3);
  const config = join(scratch.folder, `${name}.conf`);
  writeFileSync(
    config,
    `listen: 127.0.0.1:${tcp}
http: 127.0.0.1:${http}
jetstream { store_dir: "${scratch.make(name)}", max_memory_store: 64MB, max_file_store: 1GB }
websocket { listen: "127.0.0.1:${ws}", no_tls: true }
${authorization}
`,
  );
  return {
    tcp: `nats://127.0.0.1:${tcp}`,
    ws: `ws://127.0.0.1:${ws}`,
    async start() {
      const child = scratch.spawn(tool("nats-server"), ["-c", config]);
      await scratch.answers(`http://127.0.0.1:${http}/healthz`);
      return { kill: () => void child.kill("SIGKILL") };
    },
  };
}

/** Of three servers: addresses, and what each lets in. */
export const nats: ServerKind = {
  name: "nats",
  programs: [tool("nats-server")],
  install: "node scripts/tools.mjs nats",
  async start(scratch): Promise<ServerAddress> {
    const nkey = nkeys.createUser();
    const limited = `permissions: { publish: ["$JS.API.STREAM.INFO.*"], subscribe: ["_INBOX.>"] }`;
    const api = ["INFO", "MSG.GET", "MSG.DELETE", "PURGE"].map(
      (x) => `"$JS.API.STREAM.${x}.OBJ_scoped"`,
    );
    const allowed = [...api, `"$JS.API.CONSUMER.>"`, `"$O.scoped.>"`].join(", ");
    const scoped = `permissions: { publish: [${allowed}], subscribe: ["_INBOX.>"] }`;
    const users = `authorization { users = [
      { user: app, password: s3cret }
      { user: limited, password: s3cret, ${limited} }
      { user: scoped, password: s3cret, ${scoped} }
      { nkey: ${nkey.getPublicKey()} } ] }`;
    const { authorization, jwt, seed } = operatorMode();
    const [main, token, operator] = await Promise.all([
      natsProcess(scratch, "main", users),
      natsProcess(scratch, "token", "authorization { token: t0ken }"),
      natsProcess(scratch, "operator", authorization),
    ]);
    await Promise.all([main.start(), token.start(), operator.start()]);
    return {
      tcp: main.tcp,
      ws: main.ws,
      user: "app",
      password: "s3cret",
      nkeySeed: text(nkey.getSeed()),
      tokenTcp: token.tcp,
      tokenWs: token.ws,
      token: "t0ken",
      jwtTcp: operator.tcp,
      jwtWs: operator.ws,
      jwt,
      jwtSeed: seed,
    };
  },
};

/** An operator with one account that has JetStream, and one user of it. */
function operatorMode(): { authorization: string; jwt: string; seed: string } {
  const [operator, account, system] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
  ];
  const user = nkeys.createUser();
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true };
  const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const claims = (type: string, rest: object = {}): object => ({ ...rest, type, version: 2 });
  const accountLimits = { ...limits, conn: -1, leaf: -1 };
  const operatorJwt = sign(operator, operator, claims("operator"));
  const accountJwt = sign(
    operator,
    account,
    claims("account", { limits: { ...accountLimits, ...storage } }),
  );
  const systemJwt = sign(operator, system, claims("account", { limits: accountLimits }));
  const jwt = sign(account, user, claims("user", { subs: -1, data: -1, payload: -1 }));
  const authorization = `operator: ${operatorJwt}
system_account: ${system.getPublicKey()}
resolver: MEMORY
resolver_preload: { ${account.getPublicKey()}: ${accountJwt}, ${system.getPublicKey()}: ${systemJwt} }`;
  return { authorization, jwt, seed: text(user.getSeed()) };
}

function sign(issuer: KeyPair, subject: KeyPair, nats: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = {
    jti: subject.getPublicKey(),
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: "test",
    nats,
  };
  const signed = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part(claims)}`;
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString("base64url")}`;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
