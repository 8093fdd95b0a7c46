/** Whether the packages of `folder` are those of its lockfile. */
export declare function isInstalled(folder: string): boolean;
/** @throws {Error} with what npm said, when it fails. */
export declare function installPackages(folder: string, what: string): void;
