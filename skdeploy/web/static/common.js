// Shared by both pages. Text is set as text, never as markup: names come from the model.
const SVG = 'http://www.w3.org/2000/svg';

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function bar(share) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 100 4');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  for (const [kind, width] of [['rest', 100], ['part', 100 * Math.max(0, Math.min(1, share))]]) {
    const rect = document.createElementNS(SVG, 'rect');
    rect.setAttribute('class', kind);
    rect.setAttribute('width', width);
    rect.setAttribute('height', 4);
    svg.append(rect);
  }
  return svg;
}

export function bars(rows) {
  const item = ([name, text, share]) =>
    el('li', {}, el('span', {}, el('b', {}, name), text), ...(share === null ? [] : [bar(share)]));
  return el('ul', { class: 'bars' }, ...rows.map(item));
}

// Whole numbers beyond 2**53 are kept as they are written: JSON.parse would round them.
export async function getText(path, accept) {
  const answer = await fetch(path, { credentials: 'same-origin', headers: { Accept: accept } });
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  return answer.text();
}

export async function getJson(path) {
  return JSON.parse(await getText(path, 'application/json'));
}

export function kindOf(property) {
  return [property.type].flat().find((one) => one !== 'null');
}

export function isNullable(property) {
  return [property.type].flat().includes('null');
}

export function shell(text) {
  return "'" + text.replaceAll("'", "'\\''") + "'";
}

export function curlFor(body, query = '') {
  const url = new URL('predict' + query, document.baseURI).href;
  return `curl -X POST ${shell(url)} \\\n  -H 'Content-Type: application/json' \\\n  -d ${shell(body)}`;
}
