/**
 * What is wrong with a configuration: in which file, on which line, at which key.
 *
 * @module
 */
import { PagestreamError } from "pagestream";

/** One thing that is wrong. Holds no value of a key that may be a secret. */
export interface ConfigProblem {
  /** The key with what it lies in, as Litestream names it: `dbs[/data/app.db].replica.sync-interval`. Empty: the whole file. */
  readonly key: string;
  /** Line of the file, from 1; undefined where there is none. */
  readonly line: number | undefined;
  /** What is wrong, and what was found where that can be shown. */
  readonly message: string;
  /** What to write instead, where that is known. */
  readonly suggestion?: string | undefined;
}

/** The configuration cannot be used. */
export class ConfigError extends PagestreamError {
  /** Everything that is wrong, in the order of the file. */
  readonly problems: readonly ConfigProblem[];

  /** `file` is the path of the file, or what the configuration is made of. */
  constructor(file: string, problems: readonly ConfigProblem[]) {
    const lines = problems.map(describe);
    const what = lines.length === 1 ? lines.join() : lines.map((line) => `\n  ${line}`).join("");
    super("CONFIG", { operation: "use the configuration", object: file, what });
    this.problems = problems;
  }
}

function describe({ key, line, message, suggestion }: ConfigProblem): string {
  const place = [line === undefined ? "" : `line ${line}`, key].filter((part) => part !== "");
  const next = suggestion === undefined ? "" : `. ${suggestion}`;
  return [...place, `${message}${next}`].join(": ");
}
