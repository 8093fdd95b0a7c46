/** Ctrl-C, and being told to end. */

/** Fires once the user, or the system, wants the command to end. */
export interface Interrupt extends Disposable {
  readonly signal: AbortSignal;
  /** Ends the command from inside, as if the user had. */
  fire(): void;
  /** Resolves when it has fired. */
  readonly fired: Promise<void>;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Catches the first signal; a second one ends the process the hard way. */
export function catchInterrupt(): Interrupt {
  const controller = new AbortController();
  const { promise, resolve } = Promise.withResolvers<void>();
  const release = (): void => {
    for (const signal of SIGNALS) process.off(signal, fire);
  };
  const fire = (): void => {
    release();
    controller.abort(new Interrupted());
    resolve();
  };
  for (const signal of SIGNALS) process.on(signal, fire);
  return { signal: controller.signal, fire, fired: promise, [Symbol.dispose]: release };
}

/** The reason with which {@link Interrupt} gives up what is under way. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  constructor() {
    super('Interrupted');
  }
}
