// Writes the licences of all that esbuild put into the bundle, each once. The list comes from esbuild, the texts from
// the packages: who is bundled and has no licence file makes this fail.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

const [metafile, output] = process.argv.slice(2)
const inBundle = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/

// From the path of a file to the folder of its package; '' for our own files.
const folders = new Set(Object.values(JSON.parse(readFileSync(metafile)).outputs)
  .flatMap(({ inputs }) => Object.entries(inputs))
  .filter(([path, { bytesInOutput }]) => bytesInOutput > 0 && inBundle.test(path))
  .map(([path]) => path.slice(0, path.lastIndexOf('node_modules/')) + path.match(inBundle)[0]))

// Inside the files of GraphiQL's style sheet, and not packages of their own.
const fonts = [
  'Roboto: Copyright 2011 Google Inc. Licensed under the Apache License, Version 2.0,\nhttp://www.apache.org/licenses/LICENSE-2.0',
  'Fira Code: Copyright 2014-2020 The Fira Code Project Authors (https://github.com/tonsky/FiraCode).\n'
  + 'Licensed under the SIL Open Font License, Version 1.1, https://openfontlicense.org',
]

const byText = new Map()
for (const folder of [...folders].sort()) {
  const { name, version, license } = JSON.parse(readFileSync(folder + 'package.json'))
  const file = readdirSync(folder).find((f) => /^licen[sc]e/i.test(f))
  const text = file ? readFileSync(folder + file, 'utf8').replaceAll('\r', '').trim() : ''
  if (!text && !license) throw new Error(`${name} has no licence`)
  const key = text || `${license}, as its package.json says`
  byText.set(key, [...(byText.get(key) ?? []), `${name} ${version}`])
}

const parts = [...byText].map(([text, names]) => `${names.join('\n')}\n\n${text}`)
writeFileSync(output, `The GraphiQL page contains these works under these licences.\n\n${[...parts, ...fonts].join(`\n\n${'-'.repeat(80)}\n\n`)}\n`)
