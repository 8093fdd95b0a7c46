/** The path of a Node of this major version, or of any that runs the sources; fetched where it is not the running one. */
export declare function findNode(wanted: number | undefined): string;
