/** `shoal/swarm-kit`: what one needs to write a swarm. Our own swarms use nothing else. */

export { makeAddr, assertAddr, type AddrOf, type IpAddr, type NestedAddr } from '../core/addr.ts';
export { assertBytes, assertFunction, assertString, describeValue, quantity, wholeNumber } from '../core/limits.ts';
export { closedError, mtuError } from '../core/errors.ts';
export {
  type AddrMap,
  type Common,
  type Guard,
  type KeepOptions,
  type Like,
  keep,
  mapAsks,
  mapSecure,
} from '../core/keep.ts';
export { type Describes, type LayerDescription } from '../core/describe.ts';
export { type Machine, type Millis, type Output } from '../core/machine.ts';
export { type Clock, type ClockedRealm, type Timer, type TimerOptions } from '../core/realm.ts';
export { type DriverOptions, Driver, MAX_OUTPUTS_PER_POLL, MAX_WAKES_PER_INSTANT } from '../drive/driver.ts';
export { clockOf, systemRealm, withTrace } from '../drive/system-realm.ts';
export { nextTurn } from '../drive/system-clock.ts';
export { ADDRESS_CACHE_SIZE, AddressCache } from './address-cache.ts';
export { type Answer, type Serving, AskSlot, REFUSED } from './ask-slot.ts';
export { type QueueLimits, BoundedQueue } from './bounded-queue.ts';
export { type CloseLatchOptions, CLOSE_DEADLINE_MS, CloseLatch } from './close-latch.ts';
export { SAME_ADDRS, composeAsk, composeSecure } from './compose.ts';
export { CounterSet } from './counter-set.ts';
export { type PendingLimits, PENDING_DEFAULTS, PendingBudget, assertPendingLimits } from './pending-budget.ts';
export { RESOLVED, markHandled, rejection } from './rejection.ts';
export { type SlotOptions, TellSlot, isPending } from './tell-slot.ts';
export { type Wait, type WaitOptions, Waits, checkAsk, checkCall } from './waits.ts';
export { type PacerOptions, Pacer } from './pacer.ts';
export { type WrapOptions, SwarmOver } from './swarm-over.ts';
export { type PacingOptions, type PartSource, PartSender, resolveBurstBytes } from './part-sender.ts';
