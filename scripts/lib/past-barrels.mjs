/**
 * A plugin of the bundler that leads each import past the modules which only hand on. The bundler takes all that such a
 * module hands on for needed by everybody who imports one name of it, so that each subcommand would load the whole library.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";

const HANDED_ON = /^export (?:\*|\{(.*)\}) from "(.*)";$/gm;
const IMPORT = /^import \{(.*)\} from "((?:pagestream|\.).*)";$/gm;
const LISTED = /^export \{(.*)\};$/gm;
const DECLARED = /^export (?:async )?(?:function\*?|class|const|let) (\w+)/gm;

/** Only for what the TypeScript compiler writes: a statement is a line, and text of the same form is in no string. */
export const pastBarrels = {
  name: "past-barrels",
  setup(bundler) {
    const modules = new Map();
    const resolve = async (specifier, importer) => {
      const options = { resolveDir: dirname(importer), kind: "import-statement" };
      return (await bundler.resolve(specifier, options)).path;
    };
    const look = (path) => {
      if (!modules.has(path)) modules.set(path, readModule(path));
      return modules.get(path);
    };
    /** Where a name of a module comes from; `undefined` where the module does not have it. */
    const find = async (name, path) => {
      const { declared, named, stars } = look(path);
      if (declared.has(name)) return { name, path };
      const inner = named.get(name);
      if (inner !== undefined) return await find(inner.name, await resolve(inner.from, path));
      for (const from of stars) {
        const found = await find(name, await resolve(from, path));
        if (found !== undefined) return found;
      }
      return undefined;
    };
    bundler.onLoad({ filter: /[\\/]dist[\\/].*\.js$/ }, async ({ path }) => {
      let contents = readFileSync(path, "utf8");
      for (const [statement, names, from] of contents.matchAll(IMPORT)) {
        const target = await resolve(from, path);
        if (look(target).declared.size > 0) continue;
        const direct = await Promise.all(
          pairs(names).map(async ([outer, local]) => {
            const { name, path: at } = (await find(outer, target)) ?? { name: outer, path: target };
            return `import { ${name} as ${local} } from ${JSON.stringify(at)};`;
          }),
        );
        contents = contents.replace(statement, () => direct.join(" "));
      }
      return { contents };
    });
  },
};

function readModule(path) {
  const code = readFileSync(path, "utf8");
  const named = new Map();
  const stars = [];
  for (const [, names, from] of code.matchAll(HANDED_ON)) {
    if (names === undefined) stars.push(from);
    else for (const [name, outer] of pairs(names)) named.set(outer, { name, from });
  }
  const declared = new Set([...code.matchAll(DECLARED)].map(([, name]) => name));
  for (const [, names] of code.matchAll(LISTED)) {
    for (const [, outer] of pairs(names)) declared.add(outer);
  }
  return { declared, named, stars };
}

/** The names in the braces of an import or export: what each is there, and what it is here. */
function pairs(names) {
  return names
    .split(",")
    .map((part) => part.trim().split(" as "))
    .filter(([name]) => name !== "")
    .map(([name, other = name]) => [name, other]);
}
