import { chownSync, mkdirSync } from 'node:fs';
import { dirname, join, parse } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CONFIGURATION_FILE_NAMES, findConfigurationFile } from '#keymux/config/file-search.js';
import { errorOf, folderWith } from './sample.js';

describe('findConfigurationFile', () => {
  it.each(CONFIGURATION_FILE_NAMES)('finds %s in the working directory', (name) => {
    const cwd = folderWith({ [name]: '' });
    expect(findConfigurationFile({ cwd, home: cwd })).toEqual({ path: join(cwd, name), notes: [] });
  });

  it('finds the nearest file upward', () => {
    const home = folderWith({ 'keymux.config.yaml': '', 'a/keymux.config.json': '', 'a/b/c/x': '' });
    const found = findConfigurationFile({ cwd: join(home, 'a/b/c'), home });
    expect(found.path).toBe(join(home, 'a/keymux.config.json'));
  });

  it('looks into the home directory and no further', () => {
    const root = folderWith({
      'keymux.config.yaml': '',
      'home/project/x': '',
      'rich/keymux.config.yml': '',
      'rich/p/x': '',
    });
    expect(
      findConfigurationFile({ cwd: join(root, 'home/project'), home: join(root, 'home') }).path,
    ).toBeUndefined();
    expect(findConfigurationFile({ cwd: join(root, 'rich/p'), home: join(root, 'rich') }).path).toBe(
      join(root, 'rich/keymux.config.yml'),
    );
  });

  it('ends at the root of the file system when the home directory is elsewhere', () => {
    const cwd = folderWith();
    expect(findConfigurationFile({ cwd, home: join(cwd, 'elsewhere') }).path).toBeUndefined();
    expect(findConfigurationFile({ cwd: parse(cwd).root, home: cwd }).path).toBeUndefined();
  });

  it('passes over a folder that has the name of a file', () => {
    const cwd = folderWith();
    mkdirSync(join(cwd, 'keymux.config.yaml'));
    expect(findConfigurationFile({ cwd, home: cwd }).path).toBeUndefined();
  });

  it('refuses two files in one folder and names both', () => {
    const cwd = folderWith({ 'keymux.config.yaml': '', 'keymux.config.json': '' });
    const error = errorOf(() => findConfigurationFile({ cwd, home: cwd }));
    expect(error.code).toBe('KEYMUX_CONFIG_INVALID');
    expect(error.message).toContain(join(cwd, 'keymux.config.yaml'));
    expect(error.message).toContain(join(cwd, 'keymux.config.json'));
    expect(error.fix).toContain('KEYMUX_CONFIG');
  });

  it('uses the file that KEYMUX_CONFIG names, relative to the working directory, whatever its name', () => {
    const cwd = folderWith({ 'keymux.config.yaml': '', 'other/my.yml': '' });
    const absolute = join(cwd, 'other/my.yml');
    expect(findConfigurationFile({ cwd, home: cwd, stated: 'other/my.yml' }).path).toBe(absolute);
    expect(findConfigurationFile({ cwd, home: cwd, stated: absolute }).path).toBe(absolute);
    expect(findConfigurationFile({ cwd, home: cwd, stated: '' }).path).toBe(join(cwd, 'keymux.config.yaml'));
  });

  it.each(['missing.yaml', '.'])('refuses KEYMUX_CONFIG=%s, which is no file', (stated) => {
    const cwd = folderWith({ 'keymux.config.yaml': '' });
    const error = errorOf(() => findConfigurationFile({ cwd, home: cwd, stated }));
    expect(error.code).toBe('KEYMUX_CONFIG_UNREADABLE');
    expect(error.message).toContain(join(cwd, stated));
  });

  it.runIf(process.getuid?.() === 0)('passes over a file above that belongs to a stranger', () => {
    const root = folderWith({ 'keymux.config.yaml': '', 'project/x': '' });
    const [above, cwd] = [join(root, 'keymux.config.yaml'), join(root, 'project')];
    chownSync(above, 12_345, 12_345);
    const search = { cwd, home: dirname(root) };
    expect(findConfigurationFile(search)).toEqual({
      notes: [expect.stringContaining(`${above}: it belongs to another user`)],
    });
    expect(findConfigurationFile({ ...search, stated: above }).path).toBe(above);
    chownSync(cwd, 12_345, 12_345);
    expect(findConfigurationFile(search).path).toBe(above);
  });

  it.runIf(process.getuid?.() === 0)('accepts a file in the working directory whoever owns it', () => {
    const cwd = folderWith({ 'keymux.config.yaml': '' });
    chownSync(join(cwd, 'keymux.config.yaml'), 12_345, 12_345);
    expect(findConfigurationFile({ cwd, home: cwd }).path).toBe(join(cwd, 'keymux.config.yaml'));
  });
});
