const PAGE = new URL("../../src/zeuxis/web/page/", import.meta.url);

export async function resolve(name, context, next) {
  if (!name.startsWith("zeuxis/")) return next(name, context);
  return { url: new URL(name.slice("zeuxis/".length), PAGE).href, format: "module", shortCircuit: true };
}
