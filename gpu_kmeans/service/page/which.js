/** "Which cluster is this?": for a text, or for a row of the columns that were clustered. */
import { link } from './address.js';
import { getOnce, post, send } from './api.js';
import { field, fill, h, number } from './dom.js';

const MOST_COLUMNS = 24;
const OF_OTHERS = ['id', 'title', 'date', 'popularity', 'rating', 'votes', 'genres', 'keywords', 'cast', 'crew'];

/** A form below a summary; what it asks for is looked up when it is opened. */
export function which(context, profiles) {
  const { at, signal } = context;
  const place = h('div', { class: 'region' });
  const details = h('details', { class: 'which-cluster', ontoggle: () => {
    if (!details.open || place.hasChildNodes()) return;
    fill(place, signal, async () => {
      const { parameters, catalogue } = await getOnce(at(['report']));
      return [form(context, columnsOf({ ...catalogue.proposed, ...parameters.columns }), profiles)];
    });
  } }, h('summary', {}, 'Which cluster is this? Try a text or a row of your own.'), place);
  return details;
}

/** The columns that were clustered, as `{name, kind}`; texts without a name are the usual ones. */
function columnsOf(roles) {
  const columns = Object.entries(roles).filter(([role]) => !OF_OTHERS.includes(role))
    .flatMap(([kind, names]) => [names].flat().filter(Boolean).map((name) => ({ name, kind })));
  return columns.length ? columns : [{ name: 'text', kind: 'text' }];
}

function form(context, columns, profiles) {
  const { at, signal, limits } = context;
  if (columns.some(({ kind }) => kind === 'matrix') || columns.length > MOST_COLUMNS) {
    return h('p', { class: 'quiet' }, 'Its rows have too many numbers to type them here. A file of them can be assigned with the command line, or over HTTP.');
  }
  const alone = columns.every(({ kind }) => kind === 'text') && columns.length === 1;
  const inputs = columns.map(({ name, kind }) => kind === 'text'
    ? h('textarea', { name, rows: 4, maxlength: limits.max_query_characters, required: alone, dir: 'auto' })
    : h('input', { name, inputmode: kind === 'numbers' ? 'decimal' : null, autocomplete: 'off', dir: 'auto' }));
  const outcome = h('div', { 'aria-live': 'polite' });
  const ask = async () => {
    const found = alone ? await ofText(at, inputs[0].value) : await ofRow(at, columns, inputs);
    return [answer(found, profiles, alone)];
  };
  return h('form', { class: 'stack', onsubmit: (event) => {
    event.preventDefault();
    fill(outcome, signal, ask);
  } },
    h('div', { class: alone ? '' : 'grid' }, inputs.map((input, place) => field(alone ? 'Text' : columns[place].name, input))),
    h('p', { class: 'actions' }, h('button', { class: 'main' }, 'Which cluster is this?')), outcome);
}

async function ofText(at, text) {
  const { predictions } = await post(at(['predict']), { texts: [text] });
  return predictions[0];
}

/** A row as a table of one, its cells always quoted. */
async function ofRow(at, columns, inputs) {
  const line = (cells) => cells.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(',');
  const table = `${line(columns.map(({ name }) => name))}\n${line(inputs.map(({ value }) => value.trim()))}\n`;
  const response = await send(at(['assign'], { delimiter: ',' }), { method: 'POST', headers: { 'Content-Type': 'text/csv' }, body: table });
  return (await response.json()).rows[0];
}

function answer({ cluster, distance }, profiles, isText) {
  const there = profiles.find(({ label }) => label === cluster);
  if (!there) return h('p', { class: 'note' }, isText ? 'In none: the model knows no word of it.' : 'In none.');
  return h('p', { class: 'note good' }, 'It belongs to ', link({ cluster, down: null }, { dir: 'auto' }, there.name),
    `. Its distance from the middle of that cluster is ${number(distance)}.`);
}
