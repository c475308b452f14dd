/** What esbuild gives for a file of style: its text. */
declare module "*.css" {
  const text: string;
  export default text;
}
