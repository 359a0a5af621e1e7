/**
 * Makes one file of the page to look at: markup, style and script together, compressed, in a module that the routes serve.
 *
 * `node scripts/page/build.mjs` writes the module; a test compares it with what this writes.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync, strToU8 } from "fflate";
import { build } from "vite";

const FOLDER = new URL("../../src/http/page/", import.meta.url);
const TARGET = new URL("../../src/http/page-bytes.ts", import.meta.url);
const DIGITS_PER_LINE = 92;
const ENTRY = "virtual:page";

/**
 * The generated module, formatted as the repository is.
 *
 * @returns {Promise<string>}
 */
export async function generate() {
  const style = squeezed(readFileSync(new URL("page.css", FOLDER), "utf8"));
  const script = await bundled();
  const html = readFileSync(new URL("index.html", FOLDER), "utf8")
    .replaceAll(/>\s+</g, "><")
    .replace(/\s*\/\*style\*\/\s*/, () => style)
    .replace(/\s*\/\*script\*\/\s*/, () => script);
  const policy = [
    "default-src 'none'",
    `script-src '${hash(script)}'`,
    `style-src '${hash(style)}'`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
  // Without a time, so that the same page always gives the same bytes.
  const bytes = Buffer.from(gzipSync(strToU8(html), { level: 9, mtime: 0 }));
  const lines = bytes.toString("base64").match(new RegExp(`.{1,${DIGITS_PER_LINE}}`, "g"));
  return `/**
 * The page to look at, made of src/http/page by scripts/page/build.mjs.
 *
 * @module
 */

/** The page as Base64 of gzip: ${html.length} characters, ${bytes.length} bytes. */
export const PAGE: string =
${lines.map((line) => `  "${line}"`).join(" +\n")};

/** Its \`Content-Security-Policy\`: nothing from elsewhere, and no script or style but its own. */
export const PAGE_POLICY: string =
  "${policy}";
`;
}

function hash(text) {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}

/** A style without what only its authors need. */
function squeezed(style) {
  return style
    .replaceAll(/\s+/g, " ")
    .replaceAll(/ ?([{};,]) ?/g, "$1")
    .replaceAll(";}", "}")
    .trim();
}

async function bundled() {
  const main = fileURLToPath(new URL("main.ts", FOLDER));
  const result = await build({
    configFile: false,
    logLevel: "error",
    plugins: [
      {
        name: "page",
        resolveId: (id) => (id === ENTRY ? id : undefined),
        load: (id) =>
          id === ENTRY
            ? `import { startPage } from ${JSON.stringify(main)}; startPage();`
            : undefined,
      },
    ],
    build: {
      write: false,
      target: "es2022",
      modulePreload: false,
      rolldownOptions: { input: ENTRY, output: { format: "iife" } },
    },
  });
  const [{ output }] = [result].flat();
  const code = output[0].code.trim();
  if (code.includes("</script")) throw new Error("the script would end the page");
  return code;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(TARGET, await generate());
