import { curlFor, el, getJson, isNullable, kindOf } from './common.js';

const at = (id) => document.getElementById(id);
let described;

function resolve(node) {
  return node.$ref ? node.$ref.slice(2).split('/').reduce((found, key) => found[key], described) : node;
}

function table(caption, head, rows) {
  const line = (tag, cells) => el('tr', {}, ...cells.map((cell) => el(tag, tag === 'th' ? { scope: 'col' } : {}, cell)));
  return el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    el('table', {}, el('thead', {}, line('th', head)), el('tbody', {}, ...rows.map((row) => line('td', row)))));
}

function example() {
  const record = described.components.schemas.Record;
  const value = (one) => one.examples?.[0] ?? one.enum?.[0] ?? (isNullable(one) ? null : { integer: 0, number: 0, boolean: true }[kindOf(one)] ?? '');
  return JSON.stringify(Object.fromEntries(record.required.map((name) => [name, value(record.properties[name])])));
}

function columns() {
  const record = described.components.schemas.Record;
  const rows = Object.entries(record.properties).map(([name, one]) => [
    el('code', {}, name), [one.type].flat().join(' or '), record.required.includes(name) ? 'yes' : 'no',
    [one.description, one.enum && 'one of ' + one.enum.slice(0, 12).join(', ') + (one.enum.length > 12 ? ', ...' : ''),
      one['x-range-seen'] && `seen: ${one['x-range-seen'].join(' to ')}`].filter(Boolean).join('. ')]);
  return el('section', { class: 'card' }, el('h2', {}, 'A record'), table('Columns', ['Column', 'Type', 'Required', 'Notes'], rows));
}

function operation(path, method, one) {
  const card = el('section', { class: 'card' },
    el('h2', {}, el('span', { class: 'method' }, method.toUpperCase()), el('code', {}, path)), el('p', {}, one.summary));
  if (one.parameters) {
    const rows = one.parameters.map((p) => [el('code', {}, p.name), p.schema.enum.join(', '), p.description]);
    card.append(el('h3', {}, 'Query'), table('Parameters', ['Name', 'Values', 'Meaning'], rows));
  }
  const rows = Object.entries(one.responses).map(([status, response]) => [status, resolve(response).description]);
  card.append(el('h3', {}, 'Answers'), table('Answers', ['Status', 'Meaning'], rows));
  const url = new URL(path.slice(1), document.baseURI).href;
  const curl = path === '/predict' ? curlFor(example()) : `curl ${method === 'post' ? '-X POST ' : ''}'${url}'`;
  card.append(el('h3', {}, 'Try it'), el('pre', { tabindex: '0', role: 'region', 'aria-label': `curl for ${path}` }, curl));
  return card;
}

function problems() {
  const rows = [];
  for (const [status, response] of Object.entries(described.components.responses)) {
    for (const { value } of Object.values(response.content['application/problem+json'].examples)) {
      rows.push([status, el('code', {}, value.type), value.title]);
    }
  }
  return el('section', { class: 'card' }, el('h2', {}, 'Problems'), table('Problems', ['Status', 'Type', 'Title'], rows));
}

async function start() {
  described = await getJson('openapi.json');
  at('name').textContent = document.title = described.info.title;
  at('facts').textContent = `Version ${described.info.version}`;
  for (const [path, methods] of Object.entries(described.paths)) {
    for (const [method, one] of Object.entries(methods)) at('main').append(operation(path, method, one));
    if (path === '/predict') at('main').append(columns());
  }
  at('main').append(problems());
  document.body.dataset.ready = 'true';
}

start().catch((error) => at('main').append(el('p', { class: 'error' }, error.message)));
