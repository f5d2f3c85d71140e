/** Licence */

'use strict';

/**
 * Reads the thing.
 * @param {x} y
 */
module.exports.read = async function read(a) {
  const b = a; // trailing
  function inner() { return b; }
  return inner();
};
// eslint-disable-next-line
// Joins parts.
export const join = (...parts) =>
  parts.map((p) => p).join('/');
export default function () { helper(); }
class A extends B {
  #secret = () => { return 1; };
  static handler = async () => { await x; };
  constructor(a) { super(); this.a = a; this.b = 1; }
  get value() { return this.v; }
  set value(v) { this.v = v; }
  *items() { yield 1; }
  async *stream() { yield 1; }
  ['computed' + x]() {}
  [Symbol.iterator]() { return 1; }
  'quoted-name'() {}
}
const api = { get() {}, post: function () {}, deep: { put: () => {} }, async: function () {} };
Parser.prototype.next = function () { return join(1); };
(function () { function hidden() { return 1; } })();
it('x', () => { function cb() {} });
const { q = () => {} } = z, m = class { run() {} };
const Memo = memo(function Named() { return <div onClick={() => 1}>{a}</div>; });
function* gen() { yield* other(); }
label: for (;;) {}
function broken( { if ( }
function fine() { return `${(() => { function intpl() {} })()}`; }
function helper() {}
