/**
 * How much of its time a virtual machine did not get, because its host ran other machines meanwhile.
 *
 * @module
 */

import { readFileSync } from "node:fs";

/** Linux counts in hundredths of a second here, whatever its own clock ticks. */
const TICK_MS = 10;

/** Milliseconds since the system started that its processors stood still on average; 0 where nobody counts them. */
export function stolenMs() {
  try {
    return stolenMsOf(readFileSync("/proc/stat", "utf8"));
  } catch {
    return 0;
  }
}

/**
 * The same from the text of `/proc/stat`.
 *
 * @param {string} text
 * @returns {number}
 */
export function stolenMsOf(text) {
  const lines = text.split("\n");
  const processors = lines.filter((line) => /^cpu\d/.test(line)).length;
  // The first line sums over all processors; after its name come user, nice, system, idle, iowait, irq, softirq and steal.
  const steal = Number(lines[0]?.split(/\s+/)[8]);
  return processors > 0 && steal > 0 ? (steal * TICK_MS) / processors : 0;
}
