/**
 * Builds the page into the module that the server sends: `npm run playground:build`. With `--check` it says whether the
 * module is the one that the sources give.
 */
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { build } from "vite"

// whoever runs this, the page is that of production
process.env.NODE_ENV = "production"

const here = import.meta.dirname
const file = join(here, "../internal/page.ts")

const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

/** The page lexes and renders nodes of its own: of `marked` it needs what stands before the renderer. */
const onlyLexer = {
  name: "only-lexer",
  transform: (code, id) => {
    if (!id.endsWith("/marked/lib/marked.esm.js")) return
    const nameOf = (name) => new RegExp(`([\\w$]+) as ${name}\\b`).exec(code)[1]
    const end = code.indexOf(`var ${nameOf("Renderer")}=class`)
    if (end < 0) throw new Error("marked has another form: see what of it the page needs")
    return { code: `${code.slice(0, end)}export{${nameOf("Lexer")} as Lexer}`, map: null }
  }
}

/** The text of the module. */
const make = async () => {
  const built = await build({
    root: here,
    configFile: false,
    logLevel: "error",
    define: { "process.env.NODE_ENV": "\"production\"" },
    plugins: [onlyLexer],
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    build: {
      write: false,
      target: "es2022",
      modulePreload: false,
      rollupOptions: { input: join(here, "main.tsx") }
    }
  })
  const script = built.output.find(({ type }) => type === "chunk").code.replace(/<\/script/gi, "<\\/script").trim()
  const style = built.output.find(({ fileName }) => fileName.endsWith(".css")).source.trim()
  const html = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>effect-agents playground</title>" +
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><link rel=\"icon\" href=\"data:,\">" +
    `<style>${style}</style></head><body><div id="app"></div><script type="module">${script}</script></body></html>\n`
  const policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; " +
    `img-src data:; script-src ${hash(script)}; style-src ${hash(style)}; require-trusted-types-for 'script'`
  return [
    "/**",
    " * The page, as `src/playground/page/build.mjs` has built it from the files beside it, and what a browser may do with it.",
    " *",
    " * @since 0.1.0",
    " */",
    "",
    "/**",
    " * @category constants",
    " * @since 0.1.0",
    " */",
    `export const policy: string = ${JSON.stringify(policy)}`,
    "",
    "/**",
    " * @category constants",
    " * @since 0.1.0",
    " */",
    `export const html: string = ${JSON.stringify(html)}`,
    ""
  ].join("\n")
}

const module = await make()
if (process.argv.includes("--check")) {
  const isSame = readFileSync(file, "utf8") === module
  console.log(isSame ? `the same, ${module.length}` : "other bytes: run npm run playground:build")
} else writeFileSync(file, module)
