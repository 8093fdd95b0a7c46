/** From the text after `--stack` to layers that can stand on each other, or to a sentence that says why they cannot. */

import { UsageError } from '../failure.ts';
import { nearest } from '../nearest.ts';
import { LAYERS, type Layer, type OpenStep } from './layers.ts';

/** One layer of a plan. */
export interface PlannedLayer {
  readonly layer: Layer;
  /** As it was written. */
  readonly text: string;
  readonly open: OpenStep;
}

/** A stack that makes sense, bottom first. */
export interface StackPlan {
  readonly text: string;
  readonly layers: readonly PlannedLayer[];
}

/** @throws {UsageError} for unknown layers and impossible orders; says what to write instead. */
export function planStack(text: string): StackPlan {
  const layers = text.split(',').map((part) => planLayer(part.trim(), text));
  const [bottom, ...above] = layers;
  if (bottom!.layer.place === 'above') {
    const missing = `Cannot build ${text}: ${bottom!.layer.name} needs a layer below it`;
    const socket = layers.find(({ layer }) => layer.place === 'bottom');
    const rest = layers.filter((each) => each !== socket).map((each) => each.text);
    throw new UsageError(`${missing}; write ${[socket?.text ?? 'udp', ...rest].join(',')} (bottom first)`);
  }
  const sunk = above.find(({ layer }) => layer.place === 'bottom');
  if (sunk !== undefined) {
    const rest = layers.filter((each) => each !== sunk && each.layer.name !== sunk.layer.name);
    const instead = [sunk.text, ...rest.map((each) => each.text)].join(',');
    throw new UsageError(
      `Cannot build ${text}: ${sunk.layer.name} opens a socket, so it stands at the bottom; write ${instead} (bottom first)`,
    );
  }
  return { text: layers.map((each) => each.text).join(','), layers };
}

function planLayer(text: string, stack: string): PlannedLayer {
  const [name = '', ...args] = text.split(':');
  const layer = LAYERS.find((each) => each.name === name);
  if (layer !== undefined) return { layer, text, open: layer.configure(args) };
  const names = LAYERS.map((each) => each.name);
  if (name === '') {
    throw new UsageError(`Cannot build ${JSON.stringify(stack)}: expected layers with commas between, as in udp,frag`);
  }
  const meant = nearest(name, names);
  const hint = meant === undefined ? `there are ${names.join(', ')}` : `did you mean ${meant}?`;
  throw new UsageError(`Cannot build ${stack}: no layer is called ${JSON.stringify(name)}; ${hint}`);
}
