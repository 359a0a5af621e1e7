/**
 * Which keys are served: the LTX files of the levels, as stores of files and plain HTTP lay them out, whatever the layout
 * of the store behind.
 *
 * @module
 */
import type { Layout } from "pagestream";
import { parseFileName } from "pagestream/ltx";

/** An LTX file by its level and name. */
interface Named {
  readonly level: string;
  readonly name: string;
}

/** The key under which the store keeps what is asked for; undefined for all that is no LTX file of a level. */
export function storeKey(layout: Layout, servedAs: string): string | undefined {
  const named = parse(/^ltx\/(\d)\/([^/]+)$/, servedAs);
  return named && (layout === "hex" ? `000${named.level}/${named.name}` : servedAs);
}

/** The key under which a file of the store is served; undefined for all that is no LTX file of a level. */
export function servedKey(layout: Layout, key: string): string | undefined {
  const named = parse(layout === "hex" ? /^000(\d)\/([^/]+)$/ : /^ltx\/(\d)\/([^/]+)$/, key);
  return named && `ltx/${named.level}/${named.name}`;
}

/** What the keys of all levels, and of few other objects, begin with. */
export function levelsPrefix(layout: Layout): string {
  return layout === "hex" ? "000" : "ltx/";
}

function parse(pattern: RegExp, key: string): Named | undefined {
  const [, level = "", name = ""] = pattern.exec(key) ?? [];
  return parseFileName(name) === undefined ? undefined : { level, name };
}
