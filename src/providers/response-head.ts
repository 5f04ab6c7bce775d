/** What is known of a response before its body. */
export interface ResponseHead {
  readonly status: number;
  /** A header's value by its lower-case name; values of a repeated header are joined by commas. */
  header(name: string): string | undefined;
  readonly method?: string;
  readonly path?: string;
}
