import { NativeSetupError, nativeIsSetUp, setUpNative } from './backend/native-setup.js';

/** Sets up the native CPU backend with progress on standard output; exit code 1, with the reason, where it cannot be. */
if (!nativeIsSetUp('@tensorflow/tfjs-node'))
  try {
    await setUpNative('@tensorflow/tfjs-node', (message) => console.log(`${message} ...`));
    console.log('The native TensorFlow backend is ready.');
  } catch (error) {
    if (!(error instanceof NativeSetupError)) throw error;
    console.log(error.message);
    process.exitCode = 1;
  }
