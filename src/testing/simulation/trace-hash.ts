/** A hash over everything that happens in a run: two runs with the same hash are the same, as far as the network saw. */

/** Two lanes of FNV-1a with different offsets: quick, and enough to tell runs apart that nobody made to collide. */
export class TraceHash {
  #a = 0x811c_9dc5;
  #b = 0x9e37_79b9;

  number(value: number): void {
    // Virtual time has fractions: they are kept to a thousandth.
    const scaled = Math.round(value * 1000);
    this.#mix(scaled | 0);
    this.#mix(Math.floor(scaled / 0x1_0000_0000) | 0);
  }

  bytes(bytes: Uint8Array): void {
    this.#mix(bytes.length);
    let [a, b] = [this.#a, this.#b];
    for (const byte of bytes) {
      a = Math.imul(a ^ byte, 0x0100_0193);
      b = Math.imul(b ^ byte, 0x85eb_ca6b);
    }
    this.#a = a;
    this.#b = b;
  }

  text(text: string): void {
    this.#mix(text.length);
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
  }

  /** 16 hexadecimal digits. */
  get value(): string {
    return [this.#a, this.#b].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
  }

  #mix(word: number): void {
    this.#a = Math.imul(this.#a ^ word, 0x0100_0193);
    this.#b = Math.imul((this.#b ^ word) + (this.#b >>> 15), 0x85eb_ca6b);
  }
}
