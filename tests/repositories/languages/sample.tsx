/** Shows it. */
export const View: React.FC<P> = ({ a }) => {
  const onClick = () => { go(a); };
  return <A<string> onClick={onClick}>{a ? <b/> : null}</A>;
};
