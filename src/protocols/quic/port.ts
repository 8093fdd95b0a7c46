/** How connections and streams reach the engine of their endpoint. */

import { type Millis } from '../../base/machine.ts';
import { type QuicEngine } from './engine.ts';
import { type Windows } from './window-budget.ts';

/** @internal */
export interface EnginePort {
  /** The time of the last input. */
  now(): Millis;
  /**
   * Calls the engine that a connection was made with. When that engine is no more, or breaks in the call, `otherwise`
   * is the answer, and the endpoint sees to the rest.
   */
  run<T>(engine: QuicEngine, otherwise: T, act: (engine: QuicEngine) => T): T;
  /** Bytes were read: the window may grow. */
  read(windows: Windows, bytes: number): void;
}
