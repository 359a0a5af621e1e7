declare module "bun:sqlite" {
  /** Bun's own SQLite, as far as examples use it. */
  export class Database {
    constructor(path: string);
    exec(sql: string): unknown;
    prepare(sql: string): { all(): unknown[]; get(): unknown; run(): unknown };
    close(): void;
  }
}
