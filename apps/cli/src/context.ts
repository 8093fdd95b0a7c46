/** What every command shares: its output, its end, and the stack that its options ask for. */

import { type Realm, systemRealm, withTrace } from 'shoal';
import { generateKey, type PrivateKey } from 'shoal/keys';
import { readKeyFile } from 'shoal/key-files';
import { Failure } from './failure.ts';
import { type Interrupt, catchInterrupt } from './interrupt.ts';
import { type Output, processOutput } from './output.ts';
import { type OpenStack, openStack } from './stack/open.ts';
import type { Preset } from './stack/layers.ts';
import { planStack } from './stack/plan.ts';

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean | undefined;
  readonly verbose?: boolean | undefined;
  readonly debug?: boolean | undefined;
}

/** Options of every command that opens a stack. */
export interface StackOptions extends CommonOptions {
  readonly stack: string;
  readonly bind?: string | undefined;
  readonly key?: string | undefined;
  readonly preset?: Preset | undefined;
}

/** A command while it runs. */
export interface CommandContext {
  readonly output: Output;
  readonly interrupt: Interrupt;
  readonly realm: Realm;
}

/** Begins a command: from now on Ctrl-C ends it in an orderly way. */
export function beginCommand({ json = false, verbose = false }: CommonOptions): CommandContext {
  const interrupt = catchInterrupt();
  const output = processOutput(json, interrupt.signal, () => interrupt.fire());
  const realm = verbose ? withTrace(systemRealm, (event) => output.trace(event)) : systemRealm;
  return { output, interrupt, realm };
}

/** @throws {Failure} when the file cannot be read or holds no usable key; one line, with the path. */
export async function loadKey(path: string): Promise<PrivateKey> {
  try {
    return await readKeyFile(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(why.includes(path) ? why : `Cannot use key file ${path}: ${why}`, { cause: error });
  }
}

/** The key that the user names, or a new one. */
export async function keyOf({ key }: { readonly key?: string | undefined }): Promise<PrivateKey> {
  return key === undefined ? generateKey() : loadKey(key);
}

/** Opens the stack that the options ask for; `bind` is where to when they do not say. */
export function openStackOf(
  { realm, interrupt }: CommandContext,
  options: StackOptions,
  bind: string,
): Promise<OpenStack> {
  const plan = planStack(options.stack);
  let key: Promise<PrivateKey> | undefined;
  const privateKey = (): Promise<PrivateKey> => (key ??= keyOf(options));
  const context = { realm, bind: options.bind ?? bind, privateKey, preset: options.preset, signal: interrupt.signal };
  return openStack(plan, context, options.key !== undefined);
}

/** Any port, of the address family that an address as text is of; it reaches this machine and all others. */
export function bindFor(addr: string): string {
  return addr.includes('[') ? '[::]:0' : '0.0.0.0:0';
}
