/** @module */
import { StoreError } from "pagestream";
import { describe, expect, test } from "vitest";
import { createLogger, type LoggerOptions } from "./logger.ts";

const TIME = "2026-11-20T12:00:00.000Z";

function logTo(options: LoggerOptions = {}) {
  const lines: string[] = [];
  let time = Date.parse(TIME);
  const logger = createLogger({
    write: (line) => lines.push(line),
    now: () => time,
    colors: false,
    ...options,
  });
  return { logger, lines, wait: (ms: number) => (time += ms) };
}

describe("createLogger()", () => {
  test("createLogger() writes key=value pairs, quoted where they hold more than a word", () => {
    const { logger, lines } = logTo();
    logger.log("info", "replicating to", { type: "s3", path: "a b", left: undefined, txid: 42n });
    expect(lines).toEqual([
      `time=${TIME} level=INFO msg="replicating to" type=s3 path="a b" txid=42\n`,
    ]);
  });

  test("createLogger() keeps a line one line, whatever the text holds", () => {
    for (const type of ["text", "json", "pretty"] as const) {
      const { logger, lines } = logTo({ type });
      logger.log("info", "a\nlevel=ERROR", { b: "c\n\u001b[31m", "": "" });
      expect(lines.join("").trimEnd()).not.toMatch(/[\n\u001b]/);
    }
  });

  test("createLogger() writes one JSON object a line", () => {
    const { logger, lines } = logTo({ type: "json" });
    logger.log("warn", "slow", { db: "/app.db", ms: 12, at: new Date(TIME) });
    const expected = { time: TIME, level: "WARN", msg: "slow", db: "/app.db", ms: 12, at: TIME };
    expect(JSON.parse(lines[0] as string)).toEqual(expected);
  });

  test("createLogger() writes for people, with colours where they are wanted", () => {
    const plain = logTo({ type: "pretty" });
    plain.logger.log("error", "sync failed", { db: "/app.db" });
    expect(plain.lines).toEqual([`${TIME} ERROR sync failed db=/app.db\n`]);
    const coloured = logTo({ type: "pretty", colors: true });
    coloured.logger.log("error", "sync failed");
    expect(coloured.lines[0]).toContain("\u001b[31mERROR\u001b[39m");
  });

  test("createLogger() leaves out what is below its level", () => {
    for (const [level, count] of [
      ["trace", 5],
      ["info", 3],
      ["error", 1],
    ] as const) {
      const { logger, lines } = logTo({ level });
      for (const each of ["trace", "debug", "info", "warn", "error"] as const)
        logger.log(each, each);
      expect(lines).toHaveLength(count);
    }
  });

  test("createLogger() tells an error by message and code", () => {
    const { logger, lines } = logTo({ type: "json" });
    const error = new StoreError(
      { operation: "put", object: "k", what: "503" },
      { retryable: true },
    );
    logger.log("error", "sync failed", { error });
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      error: "Cannot put k: 503",
      error_code: "STORE",
    });
  });

  test("createLogger() repeats an equal warning after half a minute only, and tells how often it came", () => {
    const { logger, lines, wait } = logTo();
    const tick = (db: string): void => logger.log("warn", "sync failed", { db });
    for (let i = 0; i < 4; i++) tick("a");
    tick("b");
    expect(lines).toHaveLength(2);
    wait(29_999);
    tick("a");
    expect(lines).toHaveLength(2);
    wait(1);
    tick("a");
    expect(lines).toHaveLength(3);
    expect(lines[2]).toMatch(/ db=a repeated=4\n$/);
    for (let i = 0; i < 3; i++) logger.log("info", "same");
    expect(lines).toHaveLength(6);
  });

  test("createLogger() remembers a bounded number of warnings", () => {
    const { logger, lines } = logTo();
    for (let i = 0; i < 1002; i++) logger.log("warn", `warning ${i}`);
    logger.log("warn", "warning 0");
    logger.log("warn", "warning 1001");
    expect(lines).toHaveLength(1003);
  });

  test("createLogger() names the line that wrote where it is wanted", () => {
    const { logger, lines } = logTo({ source: true });
    logger.log("info", "here");
    expect(lines[0]).toMatch(/ source=logger\.test\.ts:\d+\n$/);
  });

  test("createLogger() masks secrets in fields, nested ones too, and in URLs", () => {
    const { logger, lines } = logTo({ type: "json" });
    logger.log("info", "to sftp://me:hunter2@host/db and s3://b/p?X-Amz-Signature=hunter2", {
      url: "nats://u:hunter2@h:4222/b",
      "secret-access-key": "hunter2",
      secretAccessKey: "hunter2",
      sasToken: "hunter2",
      settings: { password: "hunter2", "key-path": "/k", list: [{ "account-key": "hunter2" }] },
      error: new Error("GET https://h/x?sig=hunter2 failed"),
    });
    expect(lines[0]).not.toContain("hunter2");
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      msg: "to sftp://me:***@host/db and s3://b/p?***",
      settings: { "key-path": "/k" },
      error: "GET https://h/x?*** failed",
    });
  });
});
