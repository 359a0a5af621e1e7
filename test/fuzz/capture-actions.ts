/**
 * What a run does to its databases, one random thing at a time.
 *
 * @module
 */
import {
  insertMany,
  JOURNAL_MODES,
  PAGE_SIZES,
  randomChange,
  randomControl,
} from "./capture-plan.ts";
import type { FuzzSession } from "./capture-session.ts";

/** XOR of these bytes anywhere leaves a page's CRC-64 as it was. */
const CRC_NULL = [0x01, 0, 0, 0, 0, 0, 0, 0xb0, 0x01] as const;

/** The work of one seed. */
export class FuzzActions {
  /** Steps done. */
  steps = 0;
  /** How often a connection that nobody captures was used. */
  foreignWork = 0;
  /** Changes that no CRC-64 shows. */
  xors = 0;
  readonly #on: FuzzSession;
  /** Images that are begun but not read yet, and the step at which they will be. */
  #sleeping: { readonly until: number; readonly wake: () => void }[] = [];

  constructor(on: FuzzSession) {
    this.#on = on;
  }

  /** Does one of all that can be done. */
  async work(): Promise<void> {
    const { random, plan } = this.#on;
    const roll = random.int(100);
    const waits = plan.prepare === "retry" || plan.prepare === "suspend";
    if (roll < 38) {
      if (random.chance(waits ? 0.9 : 0.2)) await this.#on.transaction();
      else this.#on.exec(this.#on.change());
    } else if (roll < 64) this.#on.exec(randomControl(random, plan.two));
    else if (roll < 68) this.#explicitTransaction();
    else if (roll < 71) this.#on.reopen();
    else if (roll < 73) this.#xorBlob();
    else if (roll < 75) this.#xorPage();
    else if (roll < 77) this.#allocateAndFree();
    else if (roll < 79) this.#backup();
    else if (roll < 83) this.#image();
    else if (roll < 86) this.#workOnSecond();
    else if (roll < 92) this.#workBeside();
    else if (roll < 93) this.#refuseOff();
    else if (roll < 95) {
      this.#on.exec(`pragma page_size=${random.pick(PAGE_SIZES)}`);
      if (random.chance(0.5)) this.#on.exec("vacuum");
    } else if (roll < 98) this.#on.check();
    else this.#on.attachAgain();
  }

  #explicitTransaction(): void {
    this.#on.exec("begin");
    for (let i = this.#on.random.int(4); i >= 0; i--) this.#on.exec(this.#on.change());
    this.#on.exec(this.#on.random.chance(0.7) ? "commit" : "rollback");
  }

  #refuseOff(): void {
    const mode = this.#on.random.pick(["off", "o", "Of"]);
    if (this.#on.exec(`pragma journal_mode=${mode}`))
      this.#on.fail(`journal_mode=${mode} was accepted`);
  }

  /** Changes a stored blob so that no CRC-64 shows it. */
  #xorBlob(): void {
    const rows = this.#on.rows("select a, b from t where length(b) >= 9");
    if (rows.length === 0) return;
    const [a, blob] = this.#on.random.pick(rows);
    if (typeof a !== "number" || !(blob instanceof Uint8Array)) return;
    const changed = xorAt(blob, this.#on.random.int(blob.length - 8));
    if (this.#on.exec("update t set b=? where a=?", this.#on.db, [changed, a])) this.xors++;
  }

  /** The same to a page that holds nothing but a blob's bytes. */
  #xorPage(): void {
    const sql = "select pageno from dbstat where name='t' and pagetype='overflow' limit 1";
    const pgno = this.#on.rows(sql)[0]?.[0];
    if (typeof pgno !== "number") return;
    const page = this.#on.rows(`select data from sqlite_dbpage where pgno=${pgno}`)[0]?.[0];
    if (!(page instanceof Uint8Array)) return;
    const changed = xorAt(page, 4 + this.#on.random.int(page.length - 12));
    const update = "update sqlite_dbpage set data=? where pgno=?";
    const calm = this.#on.calm;
    this.#on.calm = true;
    if (this.#on.exec(update, this.#on.db, [changed, pgno])) this.xors++;
    // The index on b still holds the old bytes.
    this.#on.exec("reindex");
    this.#on.calm = calm;
  }

  /** Pages that one transaction allocates and frees are in the file but never written. */
  #allocateAndFree(): void {
    if (!this.#on.autocommit()) return;
    this.#on.exec("begin");
    this.#on.exec("create table gone(a)");
    this.#on.exec(`insert into gone values(zeroblob(${this.#on.random.int(200_000)}))`);
    this.#on.exec(this.#on.random.chance(0.5) ? "drop table gone" : "delete from gone");
    this.#on.exec("insert into t(b) values(chance(20))");
    this.#on.exec("drop table if exists gone");
    this.#on.exec("commit");
  }

  #backup(): void {
    if (!this.#on.autocommit()) return;
    const { capi, oo1 } = this.#on.sqlite3;
    const from = new oo1.DB(":memory:");
    const pageSize = this.#on.random.chance(0.5)
      ? this.#on.main.source.pageSize
      : this.#on.random.pick(PAGE_SIZES);
    from.exec(`pragma page_size=${pageSize};
      create table t(a integer primary key, b);
      create index ti on t(b);
      create table wr(k primary key, v) without rowid;
      create virtual table ft using fts5(x);
      insert into t values(1, zeroblob(${this.#on.random.int(90_000)}))`);
    const backup = capi.sqlite3_backup_init(this.#on.db.pointer!, "main", from.pointer!, "main");
    if (backup !== 0) {
      capi.sqlite3_backup_step(backup, 3);
      capi.sqlite3_backup_step(backup, -1);
      capi.sqlite3_backup_finish(backup);
    }
    this.#on.history.push(`backup from page size ${pageSize}`);
    from.close();
  }

  /** An image that is read some steps later. */
  #image(): void {
    const watched = this.#on.random.pick(this.#on.watched);
    if (watched.images > 60) return;
    this.#on.history.push("image");
    watched.image(async () => {
      const until = this.steps + this.#on.random.int(30);
      if (until === Infinity) return;
      await new Promise<void>((wake) => this.#sleeping.push({ until, wake }));
    });
  }

  /** Reads the images whose step has come. */
  wake(step: number): void {
    for (const { until, wake } of this.#sleeping) if (until <= step) wake();
    this.#sleeping = this.#sleeping.filter(({ until }) => until > step);
  }

  /** Work through a second captured connection, which shares the state of the path. */
  #workOnSecond(): void {
    const { random, plan } = this.#on;
    if (plan.exclusive || plan.attach) return;
    this.#on.second ??= this.#on.openCaptured();
    this.#on.exec(insertMany(random.int(400), random.int(5), 100), this.#on.second);
    if (!random.chance(0.3)) return;
    this.#on.second.close();
    this.#on.second = undefined;
  }

  /** Work through a connection that nobody captures. */
  #workBeside(): void {
    const { random, plan, main } = this.#on;
    if (plan.foreign === "no") return;
    const { replica } = main;
    const spills = plan.foreign === "spills";
    const db = this.#on.openForeign();
    this.#on.exec(`pragma cache_size=${spills ? 2 : -20_000}`, db);
    this.foreignWork++;
    replica.excuses++;
    replica.looseFreePages ||= spills;
    const roll = random.int(20);
    if (roll < 9) this.#on.exec(randomChange(random), db);
    else if (roll < 11) {
      // What it spills can be read before it is committed, and nobody could tell.
      if (!spills) this.#on.exec("begin immediate", db);
    } else if (roll < 13) this.#on.exec("commit", db);
    else if (roll < 14) this.#on.exec("rollback", db);
    else if (roll < 16) this.#on.exec(`pragma wal_checkpoint(truncate)`, db);
    else if (roll < 17) this.#on.exec(`pragma journal_mode=${random.pick(JOURNAL_MODES)}`, db);
    else if (roll < 18) {
      this.#on.exec(`pragma page_size=${random.pick(PAGE_SIZES)}`, db);
      this.#on.exec("vacuum", db);
    } else this.#on.closeForeign();
    if (random.chance(0.4)) this.#on.check();
  }
}

function xorAt(bytes: Uint8Array, offset: number): Uint8Array {
  const changed = bytes.slice();
  for (const [i, byte] of CRC_NULL.entries()) changed[offset + i]! ^= byte;
  return changed;
}
