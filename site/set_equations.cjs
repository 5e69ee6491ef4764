// node set_equations.cjs KATEX.js FOLDER: every equation of every page is set where it stands.
const fs = require("fs")
const path = require("path")
const katex = require(path.resolve(process.argv[2]))

const EQUATION = /<(span|div) class="arithmatex">([\s\S]*?)<\/\1>/g
const plain = text =>
  text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&quot;/g, '"').replace(/&amp;/g, "&")

let failed = 0
for (const name of fs.readdirSync(process.argv[3], { recursive: true })) {
  if (!name.endsWith(".html")) continue
  const file = path.join(process.argv[3], name)
  const page = fs.readFileSync(file, "utf8")
  const set = page.replace(EQUATION, (whole, tag, typed) => {
    const source = plain(typed).trim().slice(2, -2)  // without \( \) or \[ \]
    try {
      return katex.renderToString(source, { displayMode: tag === "div", strict: false })
    } catch (error) {
      failed += 1
      console.error(`${name}: ${error.message}\n  ${source}`)
      return whole
    }
  })
  if (set !== page) fs.writeFileSync(file, set)
}
process.exit(failed ? 1 : 0)
