/**
 * Paths as text, of any runtime: parts are divided by `/` or `\\`.
 *
 * @module
 */

/** Where the last part of a path begins. */
function lastPart(path: string): number {
  return Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
}

/** The directory part of a path; `.` where it has none. */
export function parentDirectory(path: string): string {
  const start = lastPart(path);
  return start === 0 ? "." : path.slice(0, Math.max(1, start - 1));
}

/** The last part of a path. */
export function fileName(path: string): string {
  return path.slice(lastPart(path));
}
