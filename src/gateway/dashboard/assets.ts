/** The files of the dashboard: a page that holds no data and asks the API for what it shows. */
import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import type { DashboardAsset } from '../own-routes.js';

const FOLDER = new URL('./page/', import.meta.url);

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

let assets: ReadonlyMap<string, DashboardAsset> | undefined;

/** By the path behind `/-/dashboard`: `/` is the page. Only names of files that are there are known. */
export function dashboardAsset(path: string): DashboardAsset | undefined {
  assets ??= readAssets();
  return assets.get(path === '/' ? '/index.html' : path);
}

function readAssets(): ReadonlyMap<string, DashboardAsset> {
  const found = new Map<string, DashboardAsset>();
  for (const name of readdirSync(FOLDER)) {
    const contentType = CONTENT_TYPES[extname(name)];
    if (contentType === undefined) continue;
    found.set(`/${name}`, { contentType, body: readFileSync(new URL(name, FOLDER)) });
  }
  return found;
}
