import { bars, curlFor, el, getJson, isNullable, kindOf } from './common.js';

const at = (id) => document.getElementById(id);
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
let fields = [];
let query = '';
let unit = '';

function describeRange(property) {
  const seen = property['x-range-seen'];
  const formats = { 'date-time': 'date and time, RFC 3339', 'date-time-local': 'date and time without a zone', decimal: 'decimal number' };
  const kinds = { integer: 'whole number', number: 'number', boolean: 'true or false' };
  const what = formats[property.format] ?? kinds[kindOf(property)] ?? 'text';
  const parts = [what];
  if (seen) parts.push(`seen: ${seen[0]} to ${seen[1]}`);
  if (isNullable(property)) parts.push('empty: null');
  return parts.join('; ');
}

// The values of an enum as JSON: an option keeps the type of what it stands for.
function choices(property) {
  if (property.enum) return property.enum.map((one) => [JSON.stringify(one), one === null ? '(null)' : String(one)]);
  const none = isNullable(property) ? [['null', '(null)']] : [];
  return [['true', 'true'], ['false', 'false'], ...none];
}

function control(name, property, id) {
  const example = property.examples?.[0];
  if (property.enum || kindOf(property) === 'boolean') {
    const select = el('select', { id });
    for (const [value, text] of choices(property)) select.append(el('option', { value }, text));
    if (example !== undefined) select.value = JSON.stringify(example);
    return [select];
  }
  const numeric = ['integer', 'number'].includes(kindOf(property));
  const mode = { integer: 'numeric', number: 'decimal' }[kindOf(property)];
  const input = el('input', { id, type: 'text', autocomplete: 'off', spellcheck: 'false', inputmode: mode });
  input.value = example ?? '';
  const known = property['x-known-categories'];
  if (!known) return [input];
  input.setAttribute('list', id + '-known');
  return [input, el('datalist', { id: id + '-known' }, ...known.map((one) => el('option', { value: one })))];
}

function makeField([name, property], place) {
  const id = `field-${place}`;
  const [input, ...more] = control(name, property, id);
  const error = el('p', { class: 'error', id: id + '-error', hidden: '' });
  input.setAttribute('aria-describedby', `${id}-hint ${id}-error`);
  const hint = [property.description, describeRange(property)].filter(Boolean).flatMap((one) => [one, el('br')]).slice(0, -1);
  const box = el('div', {}, el('label', { for: id }, name), input, ...more, el('p', { class: 'hint', id: id + '-hint' }, ...hint), error);
  return { name, property, input, error, box };
}

// A number goes as it was typed, so that none is rounded; what is no number goes as text, and the service says so.
function token({ property, input }) {
  if (input.tagName === 'SELECT') return input.value;
  const text = input.value;
  if (text === '' && isNullable(property)) return 'null';
  if (['integer', 'number'].includes(kindOf(property)) && NUMBER.test(text.trim())) return text.trim();
  return JSON.stringify(text);
}

function body() {
  return '{' + fields.map((field) => `${JSON.stringify(field.name)}: ${token(field)}`).join(', ') + '}';
}

function quoted(text) {
  return /['\\]/.test(text) ? JSON.stringify(text) : `'${text}'`;
}

function python(text) {
  const url = new URL('predict' + query, document.baseURI).href;
  return [
    'import requests', '',
    `body = ${quoted(text)}`,
    'answer = requests.post(',
    `    ${JSON.stringify(url)},`,
    '    data=body.encode(),',
    '    headers={"Content-Type": "application/json"},',
    '    timeout=10,',
    ')',
    'answer.raise_for_status()',
    'print(answer.json()["prediction"])',
  ].join('\n');
}

function showCode() {
  const text = body();
  at('curl').textContent = curlFor(text, query);
  at('python').textContent = python(text);
}

function clearErrors() {
  for (const { input, error } of fields) {
    input.removeAttribute('aria-invalid');
    error.hidden = true;
    error.textContent = '';
  }
}

function showProblem(problem) {
  const elsewhere = [];
  const found = [];
  for (const one of problem.errors ?? []) {
    const field = fields.find((candidate) => candidate.name === one.column);
    const text = one.expected ? `Expected ${one.expected}; got ${one.got}.` : one.reason;
    if (!field) { elsewhere.push(text); continue; }
    field.input.setAttribute('aria-invalid', 'true');
    field.error.textContent = text;
    field.error.hidden = false;
    found.push(field);
  }
  const detail = found.length ? 'See the marked fields.' : problem.detail ?? '';
  at('answer').replaceChildren(el('p', { class: 'error' }, problem.title ?? 'No answer'), el('p', {}, detail, ...elsewhere));
  found[0]?.input.focus();
}

function shown(value) {
  if (typeof value === 'number' && !Number.isInteger(value)) return String(Number(value.toPrecision(8)));
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function showAnswer(answer) {
  const parts = [el('p', { class: 'value' }, shown(answer.prediction) + unit)];
  const probabilities = answer.probabilities;
  if (probabilities && Object.values(probabilities).every((one) => typeof one === 'number')) {
    const rows = Object.entries(probabilities).sort((a, b) => b[1] - a[1]).slice(0, 20);
    parts.push(bars(rows.map(([name, share]) => [name, `${(100 * share).toFixed(1)} %`, share])));
  }
  parts.push(el('p', { class: 'quiet' }, `${answer.model.name}, version ${answer.model.version}`));
  at('answer').replaceChildren(...parts);
}

async function predict(event) {
  event?.preventDefault();
  clearErrors();
  at('send').disabled = true;
  try {
    const response = await fetch('predict' + query, {
      method: 'POST', credentials: 'same-origin', body: body(), headers: { 'Content-Type': 'application/json' },
    });
    const answer = await response.json();
    at('send').disabled = false;
    if (response.ok) showAnswer(answer);
    else showProblem(answer);
  } catch (error) {
    showProblem({ title: 'No answer', detail: `The service cannot be reached: ${error.message}` });
  } finally {
    at('send').disabled = false;
  }
}

function showAbout(about) {
  const { model, output } = about;
  document.title = model.name;
  at('name').textContent = model.name;
  at('kind').textContent = output.kind === 'other' ? 'model' : output.kind;
  at('facts').textContent = [`Version ${model.version}`, model.created && `fitted ${model.created.slice(0, 10)}`, `${fields.length} columns`].filter(Boolean).join(' · ');
  if (output.title) at('answer-title').textContent = output.title;
  if (output.unit) unit = ` ${output.unit}`;
  const classes = output.classes ? JSON.stringify(output.classes.slice(0, 50)).slice(1, -1).replaceAll(',', ', ') : null;
  const rows = { Engine: about.engine, Classes: classes, Data: model.data, 'SHA-256': model.sha256, ...model.libraries };
  for (const [name, value] of Object.entries(rows)) {
    if (value) at('about').append(el('dt', {}, name), el('dd', {}, value));
  }
  const metrics = Object.entries(model.metrics ?? {});
  at('metrics-card').hidden = !metrics.length;
  // Shares are drawn against 1, errors against the largest of them.
  const largest = Math.max(1, ...metrics.map(([, value]) => Math.abs(value)));
  const share = (value) => Math.abs(value) / (Math.abs(value) <= 1 ? 1 : largest);
  at('metrics').append(bars(metrics.map(([name, value]) => [name.replaceAll('_', ' '), String(Number(value.toPrecision(4))), share(value)])));
}

async function start() {
  const about = await getJson('./');
  fields = Object.entries(about.schema.properties).map(makeField);
  at('fields').append(...fields.map((field) => field.box));
  query = about.output.probabilities ? '?proba=true' : '';
  showAbout(about);
  at('form').addEventListener('input', showCode);
  at('form').addEventListener('submit', predict);
  showCode();
  at('send').disabled = false;
  document.body.dataset.ready = 'true';
}

start().catch((error) => showProblem({ title: 'The page could not be drawn', detail: error.message }));
