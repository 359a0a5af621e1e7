import { writeFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { canary, leaks } from "../helpers/canaries.ts";
import { makeScratch, pagestream } from "./command.ts";

const scratch = makeScratch();
afterAll(() => scratch.remove());

function file(text: string): string {
  const path = scratch.next("litestream.yml");
  writeFileSync(path, text);
  return path;
}

const SECRET = canary("config");
const OLD = file(`access-key-id: A
secret-access-key: $SECRET
dbs:
  - path: /data/app.db
    monitor-interval: 1s
    replicas:
      - {url: "s3://bucket/app?region=eu", name: main, retention: 48h}
`);

describe("config check", () => {
  test("config check prints what counts, and tells what has another effect", async () => {
    const { code, stdout, stderr } = await pagestream(["config", "check", "-config", OLD], {
      env: { SECRET: JSON.stringify(SECRET) },
    });
    expect(code).toBe(0);
    expect(parse(stdout)).toMatchObject({
      socket: { enabled: false },
      dbs: [
        {
          path: "/data/app.db",
          replica: { url: "s3://bucket/app?region=eu", "secret-access-key": "***" },
          snapshot: { interval: "24h", retention: "48h" },
        },
      ],
    });
    expect(stderr).toContain("note: line 5: dbs[/data/app.db].monitor-interval: without effect");
    expect(leaks(stdout + stderr, [SECRET])).toEqual([]);
  });

  test("config check gives programs an object, and finds the file that the environment names", async () => {
    const { code, stdout, stderr } = await pagestream(["config", "check", "-json"], {
      env: { LITESTREAM_CONFIG: OLD, SECRET: JSON.stringify(SECRET) },
    });
    expect([code, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toMatchObject({
      path: OLD,
      config: { dbs: [{ path: "/data/app.db" }] },
      notices: [{ kind: "note", line: 5 }, { line: 6 }, { line: 7 }, { line: 7 }],
    });
    expect(leaks(stdout, [SECRET])).toEqual([]);
  });

  test("config check ends with exit code 3, and tells all that is wrong without a secret", async () => {
    const path = file(`adr: ":9090"\nlevels: [{interval: 0s}]\nsecret-access-key: [$SECRET]\n`);
    const run = (...flags: string[]) =>
      pagestream(["config", "check", "-config", path, ...flags], {
        env: { SECRET: JSON.stringify(SECRET) },
      });
    const [text, json, compat] = await Promise.all([run(), run("-json"), run("-compat-exit")]);
    expect([text.code, json.code, compat.code, text.stdout]).toEqual([3, 3, 1, ""]);
    expect(text.stderr).toBe(`Error: Cannot use the configuration ${path}: 
  line 1: adr: there is no such key here. Did you mean addr
  line 2: levels[0].interval: compaction interval must be greater than 0 (got 0s)
  line 3: secret-access-key: its value is no text
`);
    expect(JSON.parse(json.stderr)).toMatchObject({ error: { code: "CONFIG" } });
    expect(leaks(text.stderr + json.stderr, [SECRET])).toEqual([]);
  });

  test("config check says that there is no file", async () => {
    const { code, stderr } = await pagestream(["config", "check", "-config", "/absent.yml"]);
    expect([code, stderr]).toEqual([
      3,
      "Error: Cannot use the configuration /absent.yml: config file not found\n",
    ]);
  });
});

describe("config migrate", () => {
  test("config migrate prints a file of today, with variables as they were, and tells why", async () => {
    const { code, stdout, stderr } = await pagestream(["config", "migrate", "-config", OLD], {
      env: { SECRET: JSON.stringify(SECRET) },
    });
    expect(code).toBe(0);
    expect(stdout).toBe(`access-key-id: A
secret-access-key: $SECRET
snapshot:
  retention: 48h
dbs:
  - path: /data/app.db
    monitor-interval: 1s
    replica: { url: "s3://bucket/app?region=eu" }
`);
    expect(stderr).toContain("changed: retention of the replicas became snapshot.retention\n");
    expect(stderr).toContain("note: line 7: dbs[/data/app.db].monitor-interval: without effect");
  });

  test("config migrate leaves alone what needs no change, and refuses what it cannot mend", async () => {
    const text = "dbs: [ {path: /a.db,  replica: {path: /b}} ]\n";
    const [same, wrong] = await Promise.all([
      pagestream(["config", "migrate", "-config", file(text)]),
      pagestream(["config", "migrate", "-config", file("dbs: [{path: /a.db}]")]),
    ]);
    expect([same.code, same.stdout, same.stderr]).toEqual([0, text, "nothing has to change\n"]);
    expect([wrong.code, wrong.stdout]).toEqual([3, ""]);
    expect(wrong.stderr).toContain("must specify replica for database");
  });
});
