/**
 * For classes whose private field is put onto an object of any other class, where nobody else sees it: the constructor
 * returns what it got, and gets the fields of the class that extends this one. It costs what an assignment costs; with a
 * WeakMap each request would be an entry for the collector. A field that is read in one place only is read fastest.
 */
export class Stamp {
  constructor(object: object) {
    return object;
  }
}
