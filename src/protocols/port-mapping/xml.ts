/**
 * A small reader for the XML of routers. It knows elements, text, CDATA, the five entities of XML and characters by number; a document
 * type makes a document unreadable, so no entity can be defined. It does not recurse, and everything is bounded.
 */

/** An element, in document order. */
export interface XmlElement {
  /** Without a namespace prefix. */
  readonly name: string;
  /** The index of the element around it; -1 for the root. */
  readonly parent: number;
  /** Its own text, without that of its elements, trimmed. */
  readonly text: string;
}

const MAX_CHARS = 65_536;
const MAX_DEPTH = 32;
const MAX_ELEMENTS = 2048;
const MAX_NAME = 256;
/** Text of one element: a URL, an address, a number. What is longer is cut off. */
const MAX_TEXT = 2048;

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['amp', '&'],
  ['lt', '<'],
  ['gt', '>'],
  ['quot', '"'],
  ['apos', "'"],
]);

interface Open {
  readonly index: number;
  /** With its prefix. */
  readonly name: string;
  text: string;
}

/** Reads a document; `undefined` when it is malformed or exceeds a bound. Never throws. */
export function readXml(document: string): readonly XmlElement[] | undefined {
  if (document.length > MAX_CHARS) return undefined;
  const reader = new Reader(document);
  return reader.read() ? reader.elements : undefined;
}

class Reader {
  /** Bounded by {@link MAX_ELEMENTS}. */
  readonly elements: { name: string; parent: number; text: string }[] = [];
  readonly #document: string;
  /** Bounded by {@link MAX_DEPTH}. */
  readonly #open: Open[] = [];
  #at = 0;

  constructor(document: string) {
    this.#document = document;
  }

  read(): boolean {
    // Some routers begin with a byte order mark.
    if (this.#document.startsWith('\u{feff}')) this.#at = 1;
    while (this.#at < this.#document.length) {
      if (!(this.#document[this.#at] === '<' ? this.#markup() : this.#characters())) return false;
    }
    return this.#open.length === 0 && this.elements.length > 0;
  }

  #characters(): boolean {
    const end = this.#find('<', this.#at) ?? this.#document.length;
    const text = decodeEntities(this.#document.slice(this.#at, end));
    this.#at = end;
    return text !== undefined && this.#append(text);
  }

  #append(text: string): boolean {
    const open = this.#open.at(-1);
    // Between and around the elements of the outermost level there may be space.
    if (open === undefined) return text.trim() === '';
    if (open.text.length < MAX_TEXT) open.text = (open.text + text).slice(0, MAX_TEXT);
    return true;
  }

  #markup(): boolean {
    if (this.#starts('<!--')) return this.#skip('-->', 4);
    if (this.#starts('<![CDATA[')) {
      const begin = this.#at + 9;
      return this.#skip(']]>', 9) && this.#append(this.#document.slice(begin, this.#at - 3));
    }
    // A document type defines entities: it is refused.
    if (this.#starts('<!')) return false;
    if (this.#starts('<?')) return this.#skip('?>', 2);
    return this.#starts('</') ? this.#close() : this.#element();
  }

  #close(): boolean {
    const open = this.#open.pop();
    const end = this.#find('>', this.#at);
    if (open === undefined || end === undefined) return false;
    const isSame = this.#document.slice(this.#at + 2, end).trimEnd() === open.name;
    this.elements[open.index]!.text = open.text.trim();
    this.#at = end + 1;
    return isSame;
  }

  #element(): boolean {
    const tag = /[^\s/>=<&"']+/y;
    tag.lastIndex = this.#at + 1;
    const name = tag.exec(this.#document)?.[0];
    if (name === undefined || name.length > MAX_NAME) return false;
    if (this.elements.length >= MAX_ELEMENTS || this.#open.length >= MAX_DEPTH) return false;
    const end = this.#endOfTag(tag.lastIndex);
    if (end === undefined) return false;
    // One root only.
    if (this.#open.length === 0 && this.elements.length > 0) return false;
    const index = this.elements.length;
    this.elements.push({ name: name.slice(name.indexOf(':') + 1), parent: this.#open.at(-1)?.index ?? -1, text: '' });
    if (this.#document[end - 1] !== '/') this.#open.push({ index, name, text: '' });
    this.#at = end + 1;
    return true;
  }

  /** The `>` of a tag, behind its attributes, whose values may contain one. */
  #endOfTag(from: number): number | undefined {
    let quote = '';
    for (let at = from; at < this.#document.length; at++) {
      const char = this.#document[at]!;
      if (quote !== '') {
        if (char === quote) quote = '';
        else if (char === '<') return undefined;
      } else if (char === '"' || char === "'") quote = char;
      else if (char === '>') return at;
      else if (char === '<') return undefined;
    }
    return undefined;
  }

  #starts(text: string): boolean {
    return this.#document.startsWith(text, this.#at);
  }

  #skip(until: string, length: number): boolean {
    const end = this.#find(until, this.#at + length);
    if (end === undefined) return false;
    this.#at = end + until.length;
    return true;
  }

  #find(text: string, from: number): number | undefined {
    const at = this.#document.indexOf(text, from);
    return at < 0 ? undefined : at;
  }
}

/** @returns `undefined` when there is an entity that is not one of the five, or no character. */
function decodeEntities(text: string): string | undefined {
  if (!text.includes('&')) return text;
  let isKnown = true;
  const decoded = text.replaceAll(/&([^;&]{0,16})(;?)/g, (_, name: string, end: string) => {
    const char = end === '' ? undefined : (ENTITIES.get(name) ?? charOf(name));
    isKnown &&= char !== undefined;
    return char ?? '';
  });
  return isKnown ? decoded : undefined;
}

/** `#174`, `#xAE`. */
function charOf(name: string): string | undefined {
  const match = /^#(?:([0-9]{1,7})|x([0-9a-f]{1,6}))$/i.exec(name);
  if (match === null) return undefined;
  const code = match[1] === undefined ? Number.parseInt(match[2]!, 16) : Number(match[1]);
  const isChar = code > 0 && code <= 0x10_ffff && (code < 0xd800 || code > 0xdfff);
  return isChar ? String.fromCodePoint(code) : undefined;
}

/** Text in an element. */
export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
