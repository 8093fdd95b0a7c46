// What @achingbrain/nat-port-mapper does with a router, step by step: `map.mjs GATEWAY OWN_IP`. One line of JSON for each step.
// Run in the NAT lab (test/nat-lab/mapper-scenarios.ts), so that it meets no real router.

import { pmpNat, upnpNat } from '@achingbrain/nat-port-mapper';

const [gatewayIp, own] = process.argv.slice(2);
const within = () => ({ signal: AbortSignal.timeout(6000) });
const step = async (name, act) => {
  const begun = performance.now();
  try {
    const value = await act();
    const shown = JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? String(each) : each));
    console.log(JSON.stringify({ step: name, ms: Math.round(performance.now() - begun), value: shown?.slice(0, 200) }));
    return value;
  } catch (error) {
    console.log(JSON.stringify({ step: name, ms: Math.round(performance.now() - begun), error: error.message }));
    return undefined;
  }
};

const upnp = upnpNat({ autoRefresh: false, ttl: 60_000 });
let gateway;
await step('upnp find', async () => {
  for await (const found of upnp.findGateways(within())) {
    gateway = found;
    return { host: found.host, family: found.family };
  }
  return undefined;
});
if (gateway !== undefined) {
  await step('upnp external', () => gateway.externalIp(within()));
  await step('upnp map', () => gateway.map(4500, own, { ...within(), protocol: 'UDP' }));
  await step('upnp unmap', () => gateway.unmap(4500, within()));
  await step('upnp stop', () => gateway.stop(within()));
}
const pmp = pmpNat(gatewayIp, { autoRefresh: false });
await step('nat-pmp external', () => pmp.externalIp(within()));
await step('nat-pmp map', () => pmp.map(4600, own, { ...within(), protocol: 'TCP' }));
await step('nat-pmp stop', () => pmp.stop(within()));
process.exit(0);
