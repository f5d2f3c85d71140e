package d
// New makes one.
// More.
func New[K comparable, V any](n int) *Map[K, V] { return &Map[K, V]{} }

//go:noinline
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	f := func(x int) int { return x }
	go func() { f(1) }()
	return
}
func (Map[K, V]) unnamed() {}
func asm(x int) int
var Handler = func(w W) { New(1) }
func (m T) Do() { switch x := y.(type) { case int: return }; New(2) }
