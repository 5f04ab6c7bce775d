/** The files of the dashboard: a page that holds no data and asks the API for what it shows. */
import { readdirSync, readFileSync } from 'node:fs';
import type { DashboardAsset } from '../own-routes.js';

const FOLDER = new URL('./page/', import.meta.url);

/** By the ends of names; nothing else is given out. */
const CONTENT_TYPES = [
  ['.html', 'text/html; charset=utf-8'],
  ['.css', 'text/css; charset=utf-8'],
  ['.js', 'text/javascript; charset=utf-8'],
  ['.svg', 'image/svg+xml'],
] as const;

let assets: ReadonlyMap<string, DashboardAsset> | undefined;

/** By the path behind `/-/dashboard`: `/` is the page. Only names of files that are there are known. */
export function dashboardAsset(path: string): DashboardAsset | undefined {
  assets ??= readAssets();
  return assets.get(path === '/' ? '/index.html' : path);
}

function readAssets(): ReadonlyMap<string, DashboardAsset> {
  const names = readdirSync(FOLDER);
  const found = CONTENT_TYPES.flatMap(([end, contentType]) =>
    names
      .filter((name) => name.endsWith(end))
      .map((name) => [`/${name}`, { contentType, body: readFileSync(new URL(name, FOLDER)) }] as const),
  );
  return new Map(found);
}
