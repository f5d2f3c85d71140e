declare function ext(a: string): void;
export function over(a: string): string;
export function over(a: number): number;
export function over(a: any): any { return a; }
namespace N.M { export function f<T extends { a: 1 }>(x: T): x is T { return true; } }
abstract class C<T> {
  private cb = async <U,>(u: U) => { return u; };
  @Input() @dec({ a: 1 })
  m(@Inject(X) a: T): asserts a is T { }
  abstract go(): void;
  protected async run?(): Promise<void> { await 1; }
  over(a: string): void;
  over(a: any) { return a!; }
}
const x = <T,>(y: T) => y as unknown as T satisfies T;
export const enum E { A }
interface I { f(): void }
export default class { m() {} }
