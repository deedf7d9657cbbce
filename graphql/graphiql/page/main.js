// The GraphiQL page of this service. It is bundled into ../static/graphiql.js, because a Content-Security-Policy that
// deserves the name allows neither inline scripts nor those of other hosts.
import { createElement } from 'react'
import { createRoot } from 'react-dom/client'
import { GraphiQL } from 'graphiql'
import { setNonce } from 'get-nonce'
import 'graphiql/style.css'
import './main.css'

const root = document.getElementById('graphiql')

// Dialogs keep the page behind them from scrolling by a style element, which the policy takes only with the nonce.
setNonce(root.dataset.nonce)

// Headers are what the user typed into the headers editor, where the token goes. A refusal (no token, too large) need
// not be JSON; it is shown as an error of GraphQL, because GraphiQL would show a thrown one with its stack.
async function fetcher(request, { headers } = {}) {
  const response = await fetch(root.dataset.endpoint, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json', ...headers },
    body: JSON.stringify(request),
    credentials: 'same-origin',
  })
  const text = await response.text()
  try {
    return JSON.parse(text)
  } catch {
    return { errors: [{ message: `${response.status} ${response.statusText}: ${text.trim()}` }] }
  }
}

const welcome = `# Ctrl-Enter runs the query.
#
# Does the server ask for a token?
# Write it below, under Headers:
#
#   {"Authorization": "Bearer …"}
#
# then fetch the schema again with the
# button with the two arrows, on the left.

{
  __typename
}
`

// What GraphiQL keeps between visits, less its history: that has the headers, and so the token, of every query. It lasts
// as long as the page.
const history = new Map()
const storage = {
  getItem: (key) => (inHistory(key) ? history.get(key) ?? null : localStorage.getItem(key)),
  setItem: (key, value) => (inHistory(key) ? history.set(key, value) : localStorage.setItem(key, value)),
  removeItem: (key) => (inHistory(key) ? history.delete(key) : localStorage.removeItem(key)),
  clear: () => { history.clear(); localStorage.clear() },
  get length() { return history.size + localStorage.length },
}

function inHistory(key) {
  return key.endsWith(':queries') || key.endsWith(':favorites')
}

createRoot(root).render(createElement(GraphiQL, {
  fetcher,
  defaultQuery: welcome,
  defaultEditorToolsVisibility: 'headers',
  isHeadersEditorEnabled: true,
  shouldPersistHeaders: false,
  showPersistHeadersSettings: false,
  storage,
}))
