/**
 * Errors of the daemon.
 *
 * @module
 */
import { IoError } from "pagestream";

/** The database file is not there. Nothing is wrong: it may come at any time. */
export class MissingDatabaseError extends IoError {
  /** Makes the error of a path. */
  constructor(path: string) {
    super({ operation: "replicate", object: path, what: "there is no such file" });
  }
}
