package f;
/** Doc of it. */
public class Sample<T> {
  private int a;
  public Sample(int a) { this.a = a; this.b = 1; this.c = 2; }
  /**
   * Runs it.
   */
  @Override
  @SuppressWarnings("unchecked")
  public <U> List<U> run(@Nullable String s) throws IOException {
    Runnable r = new Runnable() { @Override public void run() { go(); } };
    class Local { void m() {} }
    return switch (s) { case "a" -> null; default -> { yield null; } };
  }
  abstract void none();
  static class Inner { void m() {} interface Deep { default int d() { return 1; } int e(); } }
  enum E { A { int v() { return 1; } }; int v() { return 0; } }
  record R(int x) { R { if (x < 0) throw new E(); } static R of() { return null; } }
  @Test void t() {}
  native void nat();
  String text = """
     void fake() { }
     """;
}
