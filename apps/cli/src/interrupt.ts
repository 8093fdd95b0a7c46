/** Ctrl-C, and being told to end. */

/** Fires once the user, or the system, wants the command to end. */
export interface Interrupt {
  readonly signal: AbortSignal;
  /** Ends the command from inside, as if the user had. */
  fire(): void;
  /** Resolves when it has fired. */
  readonly fired: Promise<void>;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The signal that ends the process at once; the two before it may be one Ctrl-C that was sent to a group and passed on. */
const FORCING = 3;
/** Signals within this time of the first count as the same signal: several processes may pass it on. */
const SAME_MS = 500;

/**
 * Catches the first signals. They stay caught until the process has ended: a second copy of one that comes while a command
 * ends in order must not kill it.
 */
export function catchInterrupt(): Interrupt {
  const controller = new AbortController();
  const { promise, resolve } = Promise.withResolvers<void>();
  const fire = (): void => {
    controller.abort(new Interrupted());
    resolve();
  };
  let count = 0;
  let firstAtMs = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (++count === 1) firstAtMs = performance.now();
    fire();
    if (count < FORCING || performance.now() - firstAtMs < SAME_MS) return;
    for (const each of SIGNALS) process.off(each, onSignal);
    process.kill(process.pid, signal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return { signal: controller.signal, fire, fired: promise };
}

/** The reason with which {@link Interrupt} gives up what is under way. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  constructor() {
    super('Interrupted');
  }
}
