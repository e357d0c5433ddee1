/** Conditions on columns: controls that are proposed by what the columns hold. */
import { go, listed } from './address.js';
import { button, h, number } from './dom.js';

const FEW = 5;
const MOST_OPTIONS = 40;
const WHOLE_DATE = /^\d{4}-\d\d-\d\d$/;
const NAMES = { crew: 'Directors', rating: 'Rating', where: 'Where' };
const CONDITION = /^(.+?)\s*(>=|<=|=)\s*([\s\S]*)$/;
let all = false; // whether the reader wants to see them all

export const columnName = (name) => NAMES[name] ?? `${name[0].toUpperCase()}${name.slice(1).replaceAll('_', ' ')}`;

/** Conditions of the address: `{column, sign, value}`. */
export const conditions = (state) => listed(state.where).map((text) => {
  const [, column, sign, value] = CONDITION.exec(text) ?? [];
  return { text, column, sign, value };
}).filter(({ column }) => column);

/** The controls, the most useful columns first; null where there is nothing to filter by. */
export function filters({ columns }, state) {
  const useful = proposed(columns);
  if (!useful.length) return null;
  const set = new Map(conditions(state).map(({ column, sign, value }) => [`${column}${sign}`, value]));
  const chosen = ({ name }) => ['=', '>=', '<='].some((sign) => set.has(`${name}${sign}`));
  const first = useful.filter((column, at) => at < FEW || chosen(column));
  const fields = h('div', { class: 'filters' }, (all ? useful : first).map((column) => control(column, set)));
  const more = !all && useful.length > first.length && button('More filters', () => {
    all = true;
    fields.replaceChildren(...useful.map((column) => control(column, set)));
    more.remove();
  }, { class: 'plain' });
  return h('form', { class: 'filtering', onsubmit: (event) => event.preventDefault(), onchange: ({ currentTarget }) => apply(currentTarget, state) }, fields, more);
}

/** A year is easier to choose by than its date; lists and categories tell more than numbers. */
function proposed(columns) {
  const hasYear = columns.some(({ name }) => name === 'year');
  const weight = ({ name, kind, distinct }) => {
    if (name === 'year') return 0;
    if (kind === 'list' || kind === 'category') return distinct <= MOST_OPTIONS ? 1 : 4;
    return kind === 'date' ? 2 : 3;
  };
  return columns.filter(({ name, kind }) => !(hasYear && name === 'date' && kind === 'date'))
    .map((column, at) => ({ column, at })).sort((a, b) => weight(a.column) - weight(b.column) || a.at - b.at)
    .map(({ column }) => column);
}

function control(column, set) {
  const { name, kind, least, most, whole } = column;
  const given = (sign) => set.get(`${name}${sign}`) ?? '';
  const label = columnName(name);
  if (kind === 'list' || kind === 'category') return choice(column, label, given('='));
  const isDate = kind === 'date';
  const type = !isDate ? 'number' : WHOLE_DATE.test(least) && WHOLE_DATE.test(most) ? 'date' : 'text';
  const bound = (sign, word, far) => h('input', {
    type, name: `${name}${sign}`, value: given(sign), 'aria-label': `${label} ${word}`, placeholder: isDate ? far : plain(far, whole),
    step: isDate ? null : whole ? 1 : 'any', min: type === 'date' ? least : null, max: type === 'date' ? most : null,
  });
  return h('fieldset', { class: 'between' }, h('legend', {}, label),
    bound('>=', 'from', least), h('span', { 'aria-hidden': 'true' }, '–'), bound('<=', 'to', most));
}

const plain = (value, whole) => (whole ? String(value) : number(value));

function choice({ name, values, distinct }, label, given) {
  const many = distinct > MOST_OPTIONS;
  const offered = values.filter(({ value }) => !value.includes('\n'));
  const id = `values-of-${name.replace(/\W/g, '-')}`;
  if (many) {
    return h('div', { class: 'field' }, h('label', {}, h('span', {}, label),
      h('input', { name: `${name}=`, value: given, list: id, autocomplete: 'off', placeholder: 'any' })),
    h('datalist', { id }, offered.map(({ value }) => h('option', { value }))));
  }
  return h('div', { class: 'field' }, h('label', {}, h('span', {}, label),
    h('select', { name: `${name}=` }, h('option', { value: '' }, 'any'),
      given && !offered.some(({ value }) => value === given) && h('option', { value: given, selected: true }, given),
      offered.map(({ value, items }) => h('option', { value, selected: value === given }, `${value} (${number(items)})`)))));
}

/** Bring what is chosen into the address, beside conditions that have no control. */
function apply(form, state) {
  const controls = [...form.elements].filter(({ name }) => name);
  const names = new Set(controls.map(({ name }) => name));
  const others = conditions(state).filter(({ column, sign }) => !names.has(`${column}${sign}`)).map(({ text }) => text);
  const own = controls.filter(({ value, validity }) => value.trim() && validity.valid).map(({ name, value }) => `${name}${value.trim()}`);
  go({ where: [...others, ...own].join('\n') || null, n: null, rank: state.rank === 'article' ? null : state.rank });
}
