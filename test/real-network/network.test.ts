/** This system's network on loopback: see test/net/virtual/contract.test.ts for the same tests of virtual hosts. */

import { describe, it } from 'node:test';

import { systemNetwork } from '../../src/net/system-network.ts';
import { networkContract } from '../support/network-contract.ts';

networkContract({ describe, it }, 'system network on loopback', () => ({
  near: systemNetwork,
  far: systemNetwork,
  nearIp: '127.0.0.1',
  farIp: '127.0.0.1',
  run: (promise) => promise,
  tick: () => new Promise((resolve) => void setImmediate(resolve)),
}));
