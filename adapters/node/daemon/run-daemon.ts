/**
 * The life of the daemon as a process: from its configuration to the last upload.
 *
 * @module
 */
import { type ObjectStore, webPlatform } from "pagestream";
import { formatTxid } from "pagestream/ltx";
import type { Config, ReplicaConfig } from "../config/config.ts";
import { storeOf } from "../config/store-of.ts";
import { healthOf } from "../telemetry/health.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { observeMetrics } from "../telemetry/open-telemetry.ts";
import { serveTelemetry } from "../telemetry/telemetry-server.ts";
import { type Child, startChild } from "./child.ts";
import { controlRoutes } from "./control-routes.ts";
import { listenOnSocket, type SocketServer } from "./control-server.ts";
import { Daemon } from "./daemon.ts";
import { startHeartbeat } from "./heartbeat.ts";
import { logEvent } from "./log-events.ts";
import { startValidation } from "./validation.ts";

/** Options of {@linkcode runDaemon}. */
export interface RunOptions {
  readonly logger: Logger;
  /** Version of the command. */
  readonly version: string;
  /** Command line of a child; the daemon ends when it does. */
  readonly exec?: string | undefined;
}

/** How the daemon came to its end. */
export interface RunResult {
  /** Exit code of the child; `undefined` without one. */
  readonly childCode: number | undefined;
  /** Whether all that was committed is in the replicas. */
  readonly isComplete: boolean;
  /** Whether work was left under way, because a second signal came. */
  readonly isAbandoned: boolean;
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** How long databases may take to start before the child does without them: a dead store must not keep it down. */
const READY_MS = 10_000;
/** Anything that keeps the process alive while nothing else does. */
const FOR_EVER_MS = 2 ** 31 - 1;

/** Replicates until a signal comes or the child ends, and then uploads what is left. A second signal gives that up. */
export async function runDaemon(config: Config, options: RunOptions): Promise<RunResult> {
  const { logger } = options;
  const closers: (() => unknown)[] = [];
  const stopping = new AbortController();
  const abandoning = new AbortController();
  let child: Child | undefined;
  let isClosing = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    logger.log("info", "signal received, pagestream shutting down", { signal });
    if (isClosing) abandoning.abort();
    child?.forward(signal);
    stopping.abort();
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  const alive = setInterval(() => undefined, FOR_EVER_MS);

  const metrics = metricsOf(config);
  const daemon = new Daemon(config, { openStore: metrics && meteredStores(metrics) });
  daemon.subscribe((event) => logEvent(logger, event));
  if (metrics !== undefined) closers.push(metrics.attach(daemon));
  let control: SocketServer | undefined;
  let childCode: number | undefined;
  let failure: unknown;
  try {
    control = await listen(config, { ...options, daemon });
    const starting = daemon.start({ signal: stopping.signal });
    await Promise.race([starting, aborted(stopping.signal), passed(READY_MS)]);
    starting.catch(() => undefined);
    reportUnready(daemon, logger);
    if (daemon.size === 0 && config.directories.length === 0) {
      logger.log("error", "no databases specified in configuration");
    }
    closers.push(...(await observe(config, { daemon, logger, metrics })));
    if (options.exec !== undefined && !stopping.signal.aborted) {
      child = startChild(options.exec);
      childCode = await child.ended;
    } else {
      await aborted(stopping.signal);
    }
  } catch (error) {
    if (!stopping.signal.aborted) failure = error;
  }
  child = undefined;
  isClosing = true;
  const closing = close({ daemon, control, closers: closers.reverse(), logger });
  const isComplete = await Promise.race([closing, aborted(abandoning.signal)]);
  clearInterval(alive);
  for (const signal of SIGNALS) process.off(signal, onSignal);
  if (failure !== undefined) throw failure;
  const isAbandoned = isComplete === undefined;
  if (isAbandoned) logger.log("warn", "second signal received, the last upload is given up");
  logger.log("info", "pagestream shut down");
  return { childCode, isComplete: isComplete === true, isAbandoned };
}

/** What answers before the databases are open. */
async function listen(
  config: Config,
  options: RunOptions & { readonly daemon: Daemon },
): Promise<SocketServer | undefined> {
  const { daemon, logger, version } = options;
  if (!config.socket.enabled) return undefined;
  const { path } = config.socket;
  try {
    const server = await listenOnSocket(controlRoutes(daemon, { version }), config.socket);
    logger.log("info", "control socket listening", { path });
    return server;
  } catch (error) {
    // As in Litestream: databases are replicated whether anybody can ask or not.
    logger.log("warn", "failed to start control socket", { path, error });
    return undefined;
  }
}

/** What tells others how the databases are doing. */
async function observe(
  config: Config,
  options: {
    readonly daemon: Daemon;
    readonly logger: Logger;
    readonly metrics: Metrics | undefined;
  },
): Promise<readonly (() => unknown)[]> {
  const { daemon, logger, metrics } = options;
  const { addr, healthAddr, healthMaxLagMs: maxLagMs, heartbeat, validationIntervalMs } = config;
  const closers: (() => unknown)[] = [];
  if (metrics !== undefined) {
    const end = hasOpenTelemetry() ? await observeMetrics(metrics) : undefined;
    if (end !== undefined) closers.push(end);
    const health = (): ReturnType<typeof healthOf> => healthOf(daemon.status(), { maxLagMs });
    const server = await serveTelemetry({ addr, healthAddr, metrics, health });
    for (const address of server.addresses) {
      logger.log("info", "serving metrics and health on", { address });
    }
    closers.push(() => server.close());
  }
  if (heartbeat !== undefined) {
    const end = startHeartbeat({
      ...heartbeat,
      clock: webPlatform.clock,
      databases: () => daemon.status().databases,
      onError: (error) => logger.log("error", "heartbeat failed", { error }),
    });
    closers.push(end);
  }
  if (validationIntervalMs !== undefined) {
    const end = startValidation({
      intervalMs: validationIntervalMs,
      clock: webPlatform.clock,
      databases: () => daemon.configs,
      openStore: async (replica) => await storeOf(replica, "read"),
      onFault: ({ database: path, after, before, ...fault }) => {
        const txids = { after: formatTxid(after), before: formatTxid(before) };
        logger.log("warn", "files of a level do not follow each other", {
          path,
          ...fault,
          ...txids,
        });
      },
      onError: (error, path) => logger.log("warn", "validation failed", { path, error }),
    });
    closers.push(end);
  }
  return closers;
}

function metricsOf({ addr, healthAddr, databases }: Config): Metrics | undefined {
  if (addr === undefined && healthAddr === undefined && !hasOpenTelemetry()) return undefined;
  return new Metrics({ l0RetentionMs: databases[0]?.options.l0RetentionMs });
}

/** Whether somebody has set OpenTelemetry up, by its own variables. */
function hasOpenTelemetry(): boolean {
  return Object.keys(process.env).some((name) => name.startsWith("OTEL_"));
}

function meteredStores(metrics: Metrics) {
  return async (replica: ReplicaConfig, database: string): Promise<ObjectStore> =>
    metrics.meter(await storeOf(replica), database);
}

function reportUnready(daemon: Daemon, logger: Logger): void {
  for (const { path, replica, state } of daemon.status().databases) {
    if (state === "starting") logger.log("warn", "replica has not answered yet", { path, replica });
  }
}

/**
 * Whether every database is in its replica. Nothing can bring a database any more when the last uploads begin; metrics and
 * health tell of those to the end.
 */
async function close(parts: {
  readonly daemon: Daemon;
  readonly control: SocketServer | undefined;
  readonly closers: readonly (() => unknown)[];
  readonly logger: Logger;
}): Promise<boolean> {
  const { daemon, control, closers, logger } = parts;
  daemon.unwatch();
  await control?.close();
  const ends = await daemon.close();
  for (const { path, error } of ends) {
    if (error !== undefined) logger.log("error", "final sync incomplete", { path, error });
  }
  for (const end of closers) await end();
  return ends.every(({ error }) => error === undefined);
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
}

function passed(ms: number): Promise<undefined> {
  return new Promise((resolve) => void setTimeout(() => resolve(undefined), ms).unref());
}
